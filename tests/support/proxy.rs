//! A wire between the store and its PostgreSQL that can fall silent, be cut, or lose the answer to one commit.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Passes everything on.
    Whole,
    /// Takes everything, passes nothing on, hangs up on nobody.
    Silent,
    /// Hangs up on everybody.
    Cut,
    /// Passes the next commit on, throws its answer away and hangs up; then it is whole again.
    LosesCommit,
}

/// A proxy on a free port; ends when dropped.
pub(crate) struct Proxy {
    /// Address of the database by way of the proxy.
    pub(crate) url: String,
    wire: watch::Sender<Wire>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &str) -> Self {
        let server = PgConnectOptions::from_str(url).expect("a legal URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        // without TLS, so that a commit can be recognised
        let through = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(server.get_username())
            .database(server.get_database().unwrap_or("postgres"))
            .ssl_mode(PgSslMode::Disable);
        let wire = watch::Sender::new(Wire::Whole);
        let accepting = tokio::spawn(accept(listener, server, wire.clone()));
        Self { url: through.to_url_lossy().to_string(), wire, accepting }
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    pub(crate) fn is(&self) -> Wire {
        *self.wire.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Wire::Cut);
        self.accepting.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn accept(listener: TcpListener, server: PgConnectOptions, wire: watch::Sender<Wire>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let (server, wire) = (server.clone(), wire.clone());
        tokio::spawn(async move {
            let mut state = wire.subscribe();
            // a silent wire does not even carry a greeting
            if state.wait_for(|wire| *wire != Wire::Silent).await.is_ok_and(|wire| *wire == Wire::Cut) {
                return;
            }
            if let Ok(server) = connect(&server).await {
                let _ = carry(client, server, wire).await;
            }
        });
    }
}

async fn connect(server: &PgConnectOptions) -> std::io::Result<Box<dyn Stream>> {
    let directory =
        server.get_socket().map(|path| path.to_owned()).or_else(|| server.get_host().starts_with('/').then(|| server.get_host().into()));
    Ok(match directory {
        Some(directory) => Box::new(UnixStream::connect(directory.join(format!(".s.PGSQL.{}", server.get_port()))).await?),
        None => Box::new(TcpStream::connect((server.get_host(), server.get_port())).await?),
    })
}

/// Carries bytes both ways until a side ends or the wire is cut.
async fn carry(mut client: TcpStream, mut server: Box<dyn Stream>, wire: watch::Sender<Wire>) -> std::io::Result<()> {
    let mut state = wire.subscribe();
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            () = cut(&mut state) => return Ok(()),
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() || passable(&wire).await == Wire::Cut {
                    return Ok(());
                }
                server.write_all(bytes).await?;
                let lose = wire.send_if_modified(|wire| {
                    let lose = *wire == Wire::LosesCommit && bytes.windows(6).any(|word| word == b"COMMIT");
                    if lose {
                        *wire = Wire::Whole;
                    }
                    lose
                });
                if lose {
                    // the server has answered: it has committed
                    server.read(&mut from_server).await?;
                    return Ok(());
                }
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() || passable(&wire).await == Wire::Cut {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}

async fn cut(state: &mut watch::Receiver<Wire>) {
    let _ = state.wait_for(|wire| *wire == Wire::Cut).await;
}

/// Waits while the wire is silent.
async fn passable(wire: &watch::Sender<Wire>) -> Wire {
    wire.subscribe().wait_for(|wire| *wire != Wire::Silent).await.map_or(Wire::Cut, |wire| *wire)
}
