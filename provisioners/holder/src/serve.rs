//! The holder's life: one `poll` over its socket, its clients, its children. All state is in [`Holder`]; a client that does
//! not read, or says what nobody understands, is dropped and may come back.

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, WaitOptions, wait};

use crate::launch::Surroundings;
use crate::protocol::{Launch, Reply, Request, ServerState, ServerStatus};
use crate::server::Server;
use crate::sys::{self, Fork};
use crate::world::Place;
use crate::{launch, netlink::Interfaces};

/// Longest request; the portal's are a few kilobytes.
const LONGEST_REQUEST: usize = 1 << 20;

pub fn serve(place: Place) -> ! {
    let mut holder = Holder { place, servers: BTreeMap::new(), clients: BTreeMap::new(), next: 0 };
    loop {
        let ready = holder.wait();
        for source in ready {
            match source {
                Source::Listener => holder.accept(),
                Source::Signals => holder.reap(),
                Source::Client(id) => holder.hear(id),
                Source::Server(key) => holder.attend(&key),
            }
        }
    }
}

/// A server and its generation.
type Key = (String, i64);

struct Holder {
    place: Place,
    servers: BTreeMap<Key, Server>,
    clients: BTreeMap<u64, Client>,
    /// Numbers clients and bridge ports, never the same twice.
    next: u64,
}

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    waiting: Waiting,
}

/// What a client is yet to be told.
enum Waiting {
    Nothing,
    Launch(Key),
    Stop(Key),
    Changes,
}

#[derive(Clone)]
enum Source {
    Listener,
    Signals,
    Client(u64),
    Server(Key),
}

impl Holder {
    fn wait(&self) -> Vec<Source> {
        let mut sources = vec![Source::Listener, Source::Signals];
        let mut polled =
            vec![PollFd::new(&self.place.listener, PollFlags::IN), PollFd::new(&self.place.signals, PollFlags::IN)];
        for (id, client) in &self.clients {
            sources.push(Source::Client(*id));
            polled.push(PollFd::new(&client.stream, PollFlags::IN));
        }
        for (key, server) in &self.servers {
            for descriptor in server.watched() {
                sources.push(Source::Server(key.clone()));
                polled.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
            }
        }
        // An interrupted or failed wait is tried again by the loop; nothing was lost.
        let _ = poll(&mut polled, None);
        let ready = sources.into_iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        ready.map(|(source, _)| source).collect()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.place.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                let client = Client { stream, request: Vec::new(), descriptors: Vec::new(), waiting: Waiting::Nothing };
                let id = self.number();
                self.clients.insert(id, client);
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Reads what a client has to say; acts when it is a whole line.
    fn hear(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.receive() {
            Ok(true) => {}
            Ok(false) => return,
            Err(()) => {
                self.clients.remove(&id);
                return;
            }
        }
        let request = serde_json::from_slice::<Request>(&client.request);
        client.request.clear();
        let descriptors = std::mem::take(&mut client.descriptors);
        match request {
            Ok(Request::Launch(launch)) => self.launch(id, &launch, descriptors),
            Ok(Request::Stop { server, generation }) => self.stop(id, (server, generation)),
            Ok(Request::List) => {
                let servers = self.list();
                self.tell(id, &servers);
            }
            Ok(Request::Watch) => {
                let servers = self.list();
                self.expect(id, Waiting::Changes);
                self.tell(id, &servers);
            }
            Ok(Request::End) => end(),
            Err(error) => self.tell(id, &Reply::Failed { reason: format!("not a request: {error}") }),
        }
    }

    fn launch(&mut self, id: u64, launch: &Launch, control_groups: Vec<OwnedFd>) {
        let key = (launch.server.clone(), launch.generation);
        if let Some(server) = self.servers.get(&key) {
            match server.state() {
                ServerState::Launching => self.expect(id, Waiting::Launch(key)),
                ServerState::Running | ServerState::Ended { .. } => self.tell(id, &Reply::Launched),
                ServerState::Failed { reason } => {
                    let reason = reason.clone();
                    self.tell(id, &Reply::Failed { reason });
                }
            }
            return;
        }
        let alive = |(other, server): (&Key, &Server)| other.0 == launch.server && !server.gone();
        if let Some((other, _)) = self.servers.iter().find(|pair| alive(*pair)) {
            let reason = format!("generation {} of this server is still there", other.1);
            self.tell(id, &Reply::Failed { reason });
            return;
        }
        let port = format!("s{}", self.number());
        match spawn(launch, self.place.network.as_fd(), &port, &control_groups) {
            Ok(server) => {
                self.servers.insert(key.clone(), server);
                self.expect(id, Waiting::Launch(key));
            }
            Err(error) => self.tell(id, &Reply::Failed { reason: format!("start a process: {error}") }),
        }
    }

    fn stop(&mut self, id: u64, (server, generation): Key) {
        let doomed = self.servers.range_mut((server.clone(), i64::MIN)..=(server.clone(), generation));
        doomed.for_each(|(_, server)| server.doom());
        self.expect(id, Waiting::Stop((server, generation)));
        self.settle();
    }

    /// A server's pipes or its sandbox have news.
    fn attend(&mut self, key: &Key) {
        let Some(server) = self.servers.get_mut(key) else { return };
        if server.attend() {
            self.settle();
        }
    }

    /// Collects ended children: sandboxes, outlets, and whatever else was left to the first process of the namespace.
    fn reap(&mut self) {
        let mut ignored = [0u8; 128];
        while rustix::io::read(&self.place.signals, &mut ignored).is_ok() {}
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.servers.values_mut().for_each(|server| server.outlet_ended(pid));
            if let Some(server) = self.servers.values_mut().find(|server| server.is(pid)) {
                server.ended(status);
                let port = server.port().to_owned();
                self.remove_port(&port);
            }
        }
        self.settle();
    }

    /// The kernel removes a port with its server's namespace, some time later; the next generation should not have to wait.
    fn remove_port(&self, port: &str) {
        // In a child: this process stays in the machine's network.
        if let Ok(Fork::Child) = sys::fork() {
            let removed = sys::join_network(self.place.network.as_fd()).and_then(|()| Interfaces::here()?.remove(port));
            sys::exit_now(i32::from(removed.is_err()));
        }
    }

    /// Forgets what is stopped, then tells everyone who waits what has become true.
    fn settle(&mut self) {
        self.servers.retain(|_, server| !server.stopped());
        let mut told = Vec::new();
        for (id, client) in &self.clients {
            let reply = match &client.waiting {
                Waiting::Nothing => continue,
                Waiting::Changes => self.list(),
                Waiting::Launch(key) => match self.servers.get(key).map(Server::state) {
                    Some(ServerState::Launching) => continue,
                    Some(ServerState::Running | ServerState::Ended { .. }) => Reply::Launched,
                    Some(ServerState::Failed { reason }) => Reply::Failed { reason: reason.clone() },
                    None => Reply::Failed { reason: "the server was stopped while it started".to_owned() },
                },
                Waiting::Stop((server, generation)) => {
                    let range = (server.clone(), i64::MIN)..=(server.clone(), *generation);
                    if self.servers.range(range).next().is_some() {
                        continue;
                    }
                    Reply::Stopped
                }
            };
            told.push((*id, reply));
        }
        for (id, reply) in told {
            if !matches!(reply, Reply::Servers { .. }) {
                self.expect(id, Waiting::Nothing);
            }
            self.tell(id, &reply);
        }
    }

    fn list(&self) -> Reply {
        let status = |((server, generation), state): (&Key, &Server)| ServerStatus {
            server: server.clone(),
            generation: *generation,
            state: state.state().clone(),
        };
        let servers = self.servers.iter().map(status).collect();
        Reply::Servers { incarnation: self.place.incarnation.clone(), servers }
    }

    fn expect(&mut self, id: u64, waiting: Waiting) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.waiting = waiting;
        }
    }

    fn tell(&mut self, id: u64, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Ok(mut line) = serde_json::to_vec(reply) else { return };
        line.push(b'\n');
        // A short write means a client that does not read: it finds out by the closed connection.
        if client.stream.write(&line).ok() != Some(line.len()) {
            self.clients.remove(&id);
        }
    }
}

impl Client {
    /// Whether a whole request is there now; an error when the client has gone or talks nonsense.
    fn receive(&mut self) -> Result<bool, ()> {
        loop {
            let mut bytes = [0u8; 16 * 1024];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut bytes)];
            let length = match recvmsg(&self.stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => message.bytes,
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(_) => return Err(()),
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            if length == 0 || self.request.len() + length > LONGEST_REQUEST {
                return Err(());
            }
            self.request.extend_from_slice(&bytes[..length]);
            if self.request.last() == Some(&b'\n') {
                return Ok(true);
            }
        }
    }
}

fn spawn(launch: &Launch, network: BorrowedFd<'_>, port: &str, groups: &[OwnedFd]) -> std::io::Result<Server> {
    let (status, status_writer) = std::io::pipe()?;
    let (release_reader, release) = std::io::pipe()?;
    let (output, output_writer) = std::io::pipe()?;
    match sys::fork()? {
        Fork::Child => launch::become_server(
            launch,
            Surroundings {
                network,
                port,
                control_groups: groups,
                status: status_writer.into(),
                release: release_reader.into(),
                output: output_writer.into(),
            },
        ),
        Fork::Parent { child } => {
            let monitor = Pid::from_raw(child).ok_or_else(|| std::io::Error::other("no process id"))?;
            Server::new(launch, monitor, port.to_owned(), status.into(), release.into(), output.into())
        }
    }
}

/// Ends every process of the environment and, when all are gone, this one.
fn end() -> ! {
    // From the first process of a process namespace this reaches every other one in it.
    let _ = sys::signal_all(Signal::KILL.as_raw());
    while wait(WaitOptions::empty()).is_ok() {}
    sys::exit_now(0)
}

/// Reads what is there into `into`; whether the other end is closed.
pub fn drain(mut pipe: &std::fs::File, into: &mut Vec<u8>) -> bool {
    let mut bytes = [0u8; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => return true,
            Ok(length) => into.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
