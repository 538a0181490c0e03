//! A network between a gateway and a peer that can stop carrying anything, without closing a connection.

use super::process::loopback;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) struct Wire {
    /// What to connect to.
    pub(crate) address: SocketAddr,
    is_stalled: Arc<AtomicBool>,
}

impl Wire {
    pub(crate) fn to(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), is_stalled: Arc::default() };
        let is_stalled = Arc::clone(&wire.is_stalled);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A peer that is down refuses; so does the wire, by closing.
                let Ok(far) = TcpStream::connect(peer) else { continue };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (there, back) = (Arc::clone(&is_stalled), Arc::clone(&is_stalled));
                thread::spawn(move || carry(near, far, &there));
                thread::spawn(move || carry(far_too, near_too, &back));
            }
        });
        wire
    }

    pub(crate) fn stall(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_stalled: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        while is_stalled.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
