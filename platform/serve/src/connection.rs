//! Connections, at most so many at once, and none that is closed before its first request was read.

use std::io::{IoSlice, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Limits;
use crate::http::stopped;

/// A listener with at most [`Limits::CONNECTIONS_MAX`] open connections.
pub struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    /// Connections of which nothing was read yet.
    silent: watch::Sender<usize>,
    closed: watch::Receiver<bool>,
}

impl Bounded {
    /// Bounds a listener, which takes nobody any more once `closed` is true.
    pub fn new(listener: TcpListener, closed: watch::Receiver<bool>) -> Self {
        let room = Arc::new(Semaphore::new(Limits::CONNECTIONS_MAX));
        Self { listener, room, silent: watch::Sender::new(0), closed }
    }

    /// How many connections there are of which nothing was read yet.
    pub fn silent(&self) -> watch::Receiver<usize> {
        self.silent.subscribe()
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = tokio::select! {
            biased;
            () = stopped(self.closed.clone()) => std::future::pending().await,
            accepted = Listener::accept(&mut self.listener) => accepted,
        };
        // Answers are written whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        self.silent.send_modify(|silent| *silent += 1);
        let silent = Some(Silent(self.silent.clone()));
        (Connection { stream, silent, _permit: permit }, address)
    }

    fn local_addr(&self) -> Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its room back when it ends.
pub struct Connection {
    stream: TcpStream,
    /// Until something was read.
    silent: Option<Silent>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// One of those of which nothing was read yet.
struct Silent(watch::Sender<usize>);

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.send_modify(|silent| *silent -= 1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
