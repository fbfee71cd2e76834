//! When bytes reached this machine, by the kernel's own stamp.
//!
//! A program on a busy machine gets round to what has arrived when it is its turn, and calls that came apart are then
//! seen together. Whoever judges how a client paces its calls has to know when they came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};

/// When the bytes that were read last from a connection had arrived; shared between the line and whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// Unix µs; 0: the kernel did not say.
    last_us: AtomicU64,
}

impl Arrival {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Unix µs of the last of what was read so far, where the kernel told it.
    pub(crate) fn last_us(&self) -> Option<u64> {
        Some(self.last_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }

    /// Reads what is there and remembers when it came.
    pub(crate) fn read(&self, stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        let (count, at_us) = system::read(stream, into)?;
        if count > 0 {
            self.last_us.store(at_us.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// This machine's clock, by which the kernel stamps: for what it did not stamp.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Lets the kernel stamp what arrives for this listener, from before a connection is accepted. Where it will not,
/// nothing is told.
pub(crate) fn stamp(listener: &TcpListener) {
    if let Err(error) = system::stamp(listener) {
        tracing::warn!(%error, "the kernel does not tell when calls arrive");
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
    };
    use nix::sys::time::TimeSpec;
    use tokio::io::Interest;
    use tokio::net::{TcpListener, TcpStream};

    pub(super) fn stamp(listener: &TcpListener) -> io::Result<()> {
        Ok(setsockopt(listener, ReceiveTimestampns, &true)?)
    }

    pub(super) fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
        stream.try_io(Interest::READABLE, || {
            let mut told = nix::cmsg_space!(TimeSpec);
            let mut parts = [IoSliceMut::new(into)];
            let flags = MsgFlags::empty();
            let got = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut told), flags)?;
            let at_us = got.cmsgs()?.find_map(|told| match told {
                ControlMessageOwned::ScmTimestampns(at) => unix_us(at),
                _ => None,
            });
            Ok((got.bytes, at_us))
        })
    }

    fn unix_us(at: TimeSpec) -> Option<u64> {
        let us = i128::from(at.tv_sec()) * 1_000_000 + i128::from(at.tv_nsec()) / 1_000;
        u64::try_from(us).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use tokio::net::{TcpListener, TcpStream};

    pub(super) fn stamp(_: &TcpListener) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
        Ok((stream.try_read(into)?, None))
    }
}
