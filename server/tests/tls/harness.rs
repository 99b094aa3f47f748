//! A gateway over TLS, its certificates, and clients that are not ours.

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use tidings_server::{Config, Gateway, Histories, MemoryBroadcaster, Server, Tls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async};

/// A certificate and its key, in a folder of their own that goes with them.
pub(crate) struct Certificate {
    folder: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("tls-{test}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let mut certificate = Self { folder, der: Vec::new().into() };
        certificate.renew();
        certificate
    }

    /// Puts another one into the same files.
    pub(crate) fn renew(&mut self) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(self.file(), cert.pem()).expect("a file");
        self.write_key(&signing_key);
        self.der = cert.der().clone();
    }

    /// Puts a key into its file that is another certificate's.
    pub(crate) fn mistake(&self) {
        self.write_key(&KeyPair::generate().expect("a key"));
    }

    fn write_key(&self, key: &KeyPair) {
        fs::write(self.key(), key.serialize_pem()).expect("a file");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    pub(crate) fn tls(&self) -> Tls {
        Tls::from_files(self.file(), self.key()).expect("a certificate")
    }

    /// What trusts this certificate as it is now, and no other.
    pub(crate) fn trust(&self) -> Trust {
        Trust { der: self.der.clone(), versions: vec![&TLS12, &TLS13] }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a client believes and speaks.
pub(crate) struct Trust {
    der: CertificateDer<'static>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
}

impl Trust {
    /// A stream to `address`, after the handshake.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A WebSocket, before its first frame.
    pub(crate) async fn open(&self, address: SocketAddr) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = self.connect(address).await.expect("a handshake");
        client_async(format!("wss://{address}/_broadcast"), stream).await.expect("an upgrade").0
    }

    /// The answer to a request without a body, up to the end of the connection.
    pub(crate) async fn request(&self, address: SocketAddr, line: &str, headers: &str) -> String {
        let mut stream = self.connect(address).await.expect("a handshake");
        let text = format!("{line} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.expect("an open connection");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an end of TLS before that of TCP");
        String::from_utf8(answer).expect("text")
    }
}

/// A gateway that is being served over TLS. Stops when it is dropped.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(tls: Tls, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let gateway = Gateway::builder(MemoryBroadcaster::new(Histories::off()))
            .config(config)
            .allow_client_publish(|_| async { true })
            .build()
            .expect("valid settings");
        let (stop, stopped) = oneshot::channel();
        let (started, starting) = mpsc::channel();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = Server::bind(served, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
                let server = server.workers(NonZero::new(2).expect("some")).tls(tls);
                started.send(server.address().expect("an address")).expect("a test that waits");
                server.run(|_| (), async { drop(stopped.await) }).await.expect("a server that stops");
            });
        });
        let address = starting.recv().expect("the server starts");
        Self { gateway, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends well");
        }
    }
}
