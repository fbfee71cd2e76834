//! A TCP line that can be made bad while it is in use.
//!
//! A [`TcpProxy`] stands between a program and a server and passes bytes both ways until it is told
//! otherwise. A new [`Line`] state holds at once for connections that are open and for those to come.
//! What a state did to live traffic is counted, so that a campaign can tell a fault that struck from
//! one that nobody met. Knows bytes only: no protocol, no fleet.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long the server behind may take to accept.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// One of the two ways of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the program to the server.
    Up,
    /// From the server to the program.
    Down,
}

/// The state of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Everything passes.
    #[default]
    Pass,
    /// Everything passes, each read this much later.
    Delay(Duration),
    /// Nobody listens: new connections are refused. Open ones pass.
    Refuse,
    /// Every connection is reset, the new ones as soon as they are made.
    Cut,
    /// Nothing passes and nothing is lost: it arrives when the state ends, as after a partition that
    /// TCP outlives.
    Stall,
    /// Connections are accepted, and what is sent vanishes, both ways. One that has lost bytes is
    /// reset when the state ends.
    BlackHole,
    /// As [`Line::BlackHole`], but one way only.
    OneWay(Way),
    /// What was sent before passes, then that way is ended with FIN; the other stays open. A new
    /// connection may send once before.
    HalfClose(Way),
}

/// How often each state has really acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections passed on to the server.
    pub connections: u64,
    /// Reads that were passed on late.
    pub delayed: u64,
    /// Times the listener went away. The kernel answers for it then, so the refused themselves are
    /// seen by nobody.
    pub refusals: u64,
    /// Connections reset because of [`Line::Cut`].
    pub cut: u64,
    /// Times bytes stood waiting because of [`Line::Stall`].
    pub stalled: u64,
    /// Reads that vanished on both ways.
    pub black_holed: u64,
    /// Reads that vanished because one way was dead.
    pub one_way: u64,
    /// Ways ended with FIN.
    pub half_closed: u64,
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    delayed: AtomicU64,
    refusals: AtomicU64,
    cut: AtomicU64,
    stalled: AtomicU64,
    black_holed: AtomicU64,
    one_way: AtomicU64,
    half_closed: AtomicU64,
}

/// The line. Dropping it ends every connection.
#[derive(Debug)]
pub struct TcpProxy {
    addr: SocketAddr,
    line: Option<watch::Sender<Line>>,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl TcpProxy {
    /// Listens on a free port of 127.0.0.1 and passes connections on to `upstream` (`IP:PORT`).
    ///
    /// # Panics
    ///
    /// The address is none, or no port can be had.
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        let upstream: SocketAddr =
            upstream.parse().unwrap_or_else(|error| panic!("{upstream}: {error}"));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, sandbox::ports::free()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("an event loop");
        let (line, lines) = watch::channel(Line::Pass);
        let tally = Arc::<Tally>::default();
        let bound = runtime.block_on(async { listen(addr) });
        let (listener, spare) = bound.unwrap_or_else(|error| panic!("{addr}: {error}"));
        let counts = Arc::clone(&tally);
        let run = move || runtime.block_on(serve((listener, spare), upstream, lines, counts));
        let thread = std::thread::Builder::new().name("tcp-proxy".to_owned()).spawn(run);
        let thread = Some(thread.expect("a thread"));
        Self { addr, line: Some(line), tally, thread }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the state of the line, for open connections and new ones.
    pub fn set(&self, line: Line) {
        if let Some(sender) = &self.line {
            sender.send_replace(line);
        }
    }

    /// The state it is in.
    #[must_use]
    pub fn line(&self) -> Line {
        self.line.as_ref().map_or(Line::Cut, |sender| *sender.borrow())
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Tally { connections, delayed, refusals, cut, .. } = &*self.tally;
        let Tally { stalled, black_holed, one_way, half_closed, .. } = &*self.tally;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            connections: read(connections),
            delayed: read(delayed),
            refusals: read(refusals),
            cut: read(cut),
            stalled: read(stalled),
            black_holed: read(black_holed),
            one_way: read(one_way),
            half_closed: read(half_closed),
        }
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        // Without a sender every task ends.
        self.line = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

/// Bound without listening, the port stays ours and the kernel refuses everybody. Several may be bound as
/// long as none listens.
fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// A listener, and a socket that keeps the port when the listener goes: between the two there is no
/// instant in which somebody else could take it.
fn listen(addr: SocketAddr) -> io::Result<(TcpListener, TcpSocket)> {
    let (first, spare) = (bind(addr)?, bind(addr)?);
    Ok((first.listen(BACKLOG)?, spare))
}

async fn serve(
    (listener, mut spare): (TcpListener, TcpSocket),
    upstream: SocketAddr,
    mut lines: watch::Receiver<Line>,
    tally: Arc<Tally>,
) {
    let addr = listener.local_addr().expect("it is bound");
    let mut listener = Some(listener);
    loop {
        let refuses = *lines.borrow_and_update() == Line::Refuse;
        if refuses && listener.take().is_some() {
            count(&tally.refusals);
        }
        let Some(open) = &listener else {
            if lines.wait_for(|line| *line != Line::Refuse).await.is_err() {
                return;
            }
            let next = bind(addr).expect("the port is ours");
            let held = std::mem::replace(&mut spare, next);
            listener = Some(held.listen(BACKLOG).expect("the port is ours"));
            continue;
        };
        tokio::select! {
            changed = lines.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(carry(client, upstream, lines.clone(), Arc::clone(&tally)));
            },
        }
    }
}

/// The connection is to end with a reset.
struct Reset;

async fn carry(
    mut client: TcpStream,
    upstream: SocketAddr,
    lines: watch::Receiver<Line>,
    tally: Arc<Tally>,
) {
    if *lines.borrow() == Line::Cut {
        count(&tally.cut);
        let _ = client.set_zero_linger();
        return;
    }
    let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(upstream)).await;
    let Ok(Ok(mut server)) = connected else {
        let _ = client.set_zero_linger();
        return;
    };
    count(&tally.connections);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let up = Pump { way: Way::Up, lost: false, sent: false, tally: &tally };
        let down = Pump { way: Way::Down, lost: false, sent: false, tally: &tally };
        tokio::try_join!(
            up.run(from_client, to_server, lines.clone()),
            down.run(from_server, to_client, lines.clone())
        )
    };
    if let Err(Reset) = ended {
        if *lines.borrow() == Line::Cut {
            count(&tally.cut);
        }
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// What a state means for one way.
enum Act {
    Pass(Duration),
    Reset,
    Wait,
    Lose,
    End,
}

struct Pump<'a> {
    way: Way,
    /// Bytes have vanished: what follows would be nonsense to the receiver.
    lost: bool,
    /// Something has passed.
    sent: bool,
    tally: &'a Tally,
}

impl Pump<'_> {
    fn act(&self, line: Line) -> Act {
        match line {
            Line::Cut => Act::Reset,
            Line::Stall => Act::Wait,
            Line::BlackHole => Act::Lose,
            Line::OneWay(way) if way == self.way => Act::Lose,
            Line::Pass | Line::Delay(_) | Line::Refuse | Line::OneWay(_) | Line::HalfClose(_)
                if self.lost =>
            {
                Act::Reset
            }
            Line::HalfClose(way) if way == self.way && self.sent => Act::End,
            Line::Delay(late) => Act::Pass(late),
            Line::Pass | Line::Refuse | Line::OneWay(_) | Line::HalfClose(_) => {
                Act::Pass(Duration::ZERO)
            }
        }
    }

    async fn run(
        mut self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        mut lines: watch::Receiver<Line>,
    ) -> Result<(), Reset> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let line = *lines.borrow_and_update();
            let late = match self.act(line) {
                Act::Reset => return Err(Reset),
                Act::End => {
                    count(&self.tally.half_closed);
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Act::Wait => {
                    self.stall(&mut from, &mut lines).await?;
                    continue;
                }
                Act::Lose => None,
                Act::Pass(late) => Some(late),
            };
            let read = tokio::select! {
                biased;
                changed = lines.changed() => { changed.map_err(|_| Reset)?; continue }
                read = from.read(&mut chunk) => read.map_err(|_| Reset)?,
            };
            match late {
                // An end is a packet too: the other side never hears of it.
                None => {
                    self.lost = true;
                    let both = line == Line::BlackHole;
                    count(if both { &self.tally.black_holed } else { &self.tally.one_way });
                    if read == 0 {
                        lines.wait_for(|line| !matches!(self.act(*line), Act::Lose)).await.ok();
                        return Err(Reset);
                    }
                }
                Some(_) if read == 0 => {
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Some(late) => self.pass(&mut to, &chunk[..read], late, &mut lines).await?,
            }
        }
    }

    /// Waits for the state to end, and notes whether anything stood waiting.
    async fn stall(
        &self,
        from: &mut ReadHalf<'_>,
        lines: &mut watch::Receiver<Line>,
    ) -> Result<(), Reset> {
        tokio::select! {
            biased;
            changed = lines.changed() => return changed.map_err(|_| Reset),
            ready = from.readable() => ready.map_err(|_| Reset)?,
        }
        // Who waits is woken one after the other: the other way may have heard of the end first, and what it
        // let through is answered before this one has heard.
        if lines.has_changed().map_err(|_| Reset)? {
            return Ok(());
        }
        count(&self.tally.stalled);
        lines.changed().await.map_err(|_| Reset)
    }

    async fn pass(
        &mut self,
        to: &mut WriteHalf<'_>,
        bytes: &[u8],
        late: Duration,
        lines: &mut watch::Receiver<Line>,
    ) -> Result<(), Reset> {
        let mut write = std::pin::pin!(async {
            if !late.is_zero() {
                count(&self.tally.delayed);
                // sleeps: lateness is what was ordered.
                tokio::time::sleep(late).await;
            }
            to.write_all(bytes).await
        });
        // A peer that reads nothing must not keep a cut from happening.
        let mut watched = lines.clone();
        let cut = watched.wait_for(|line| *line == Line::Cut);
        tokio::select! {
            written = &mut write => written.map_err(|_| Reset)?,
            _ = cut => return Err(Reset),
        }
        self.sent = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
