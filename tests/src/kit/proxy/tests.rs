//! The line does what its state says, to whoever is on it.

use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as Listener, TcpStream as Stream};
use std::time::Instant;

const BOUND: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(80);

/// A server that says back what it hears, and "bye" when it hears the end.
fn echo() -> String {
    let listener = Listener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut chunk = [0; 64];
                while let Ok(read) = peer.read(&mut chunk) {
                    let said = if read == 0 { b"bye" } else { &chunk[..read] };
                    if peer.write_all(said).is_err() || read == 0 {
                        return;
                    }
                }
            });
        }
    });
    addr
}

fn client(proxy: &TcpProxy) -> Stream {
    let stream = Stream::connect(proxy.addr()).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a socket");
    stream
}

fn hears(stream: &mut Stream, said: &str) {
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(heard, said.as_bytes());
}

fn says(stream: &mut Stream, said: &str) {
    stream.write_all(said.as_bytes()).expect("a live connection");
}

fn is_silent(stream: &mut Stream) {
    stream.set_read_timeout(Some(SILENCE)).expect("a socket");
    let error = stream.read(&mut [0]).expect_err("nothing may come");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(BOUND)).expect("a socket");
}

fn is_reset(stream: &mut Stream) {
    let error = stream.read(&mut [0]).expect_err("no orderly end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn open_connections_feel_every_state_and_what_it_did_is_counted() {
    let proxy = TcpProxy::start(&echo());
    let mut open = client(&proxy);
    says(&mut open, "one");
    hears(&mut open, "one");

    proxy.set(Line::Delay(SILENCE));
    let began = Instant::now();
    says(&mut open, "late");
    hears(&mut open, "late");
    assert!(began.elapsed() >= SILENCE * 2, "there and back");

    proxy.set(Line::Stall);
    says(&mut open, "patient");
    is_silent(&mut open);
    proxy.set(Line::Pass);
    hears(&mut open, "patient");

    proxy.set(Line::OneWay(Way::Down));
    says(&mut open, "unheard");
    is_silent(&mut open);
    proxy.set(Line::Pass);
    is_reset(&mut open);

    let mut open = client(&proxy);
    says(&mut open, "two");
    hears(&mut open, "two");
    proxy.set(Line::Cut);
    is_reset(&mut open);

    let counts = proxy.counts();
    let seen = (counts.connections, counts.delayed, counts.stalled, counts.one_way, counts.cut);
    assert_eq!(seen, (2, 2, 1, 1, 1), "{counts:?}");
}

#[test]
fn new_connections_meet_the_state_they_come_into() {
    let proxy = TcpProxy::start(&echo());
    let mut old = client(&proxy);
    says(&mut old, "one");
    hears(&mut old, "one");

    proxy.set(Line::Refuse);
    let refused = sandbox::wait::until("a refusal", BOUND, || {
        let error = Stream::connect(proxy.addr()).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    refused.expect("nobody listens");
    says(&mut old, "still here");
    hears(&mut old, "still here");

    proxy.set(Line::Cut);
    is_reset(&mut old);
    let again = || Stream::connect(proxy.addr()).ok();
    let mut cut = sandbox::wait::until("a listener", BOUND, again).expect("it is back");
    is_reset(&mut cut);

    proxy.set(Line::BlackHole);
    let mut lost = client(&proxy);
    says(&mut lost, "nobody hears");
    is_silent(&mut lost);
    assert!(proxy.counts().black_holed >= 1);

    proxy.set(Line::HalfClose(Way::Up));
    is_reset(&mut lost);
    let mut half = client(&proxy);
    says(&mut half, "last");
    hears(&mut half, "lastbye");

    proxy.set(Line::Pass);
    let mut well = client(&proxy);
    well.shutdown(Shutdown::Write).expect("a live connection");
    hears(&mut well, "bye");
    assert_eq!((proxy.counts().refusals, proxy.counts().half_closed), (1, 1));
}
