//! Network interfaces by rtnetlink messages: a handful of messages in place of a dozen started programs, a millisecond in
//! place of thirty. Layouts are those of rtnetlink(7), `linux/if_link.h` and `linux/veth.h`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sys;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const NLMSG_HEADER: usize = 16;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// Index of `lo` in every network namespace.
pub const LOOPBACK: u32 = 1;

/// The interfaces of one network namespace: the one this process was in when it was opened, for good.
pub struct Interfaces {
    socket: OwnedFd,
}

impl Interfaces {
    pub fn here() -> io::Result<Self> {
        Ok(Self { socket: sys::netlink_socket()? })
    }

    pub fn raise(&self, index: u32) -> io::Result<()> {
        self.send(&Message::new(libc::RTM_NEWLINK, 0).link(index, true).finish())
    }

    pub fn create_bridge(&self, name: &str) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, CREATE).link(0, true);
        message.text(IFLA_IFNAME, name);
        message.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        self.send(&message.finish())
    }

    /// A pair of joined interfaces: `name` here, a port of the bridge; `inner` in another namespace, where it is still to be
    /// raised (the kernel refuses to raise an end whose other end is not there yet).
    pub fn create_pair(&self, name: &str, bridge: u32, inner: &Inner<'_>) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, CREATE).link(0, true);
        message.text(IFLA_IFNAME, name);
        message.number(IFLA_MASTER, bridge);
        message.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth");
            info.nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.link_header(0, false);
                    peer.text(IFLA_IFNAME, inner.name);
                    peer.bytes(IFLA_ADDRESS, &hardware_address(inner.address));
                    peer.number(IFLA_NET_NS_FD, inner.namespace);
                });
            });
        });
        self.send(&message.finish())
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_DELLINK, 0).link(0, false);
        message.text(IFLA_IFNAME, name);
        self.send(&message.finish())
    }

    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWADDR, CREATE);
        message.raw(&[libc::AF_INET as u8, prefix, 0, 0]);
        message.raw(&index.to_ne_bytes());
        message.bytes(IFA_LOCAL, &address.octets());
        message.bytes(IFA_ADDRESS, &address.octets());
        self.send(&message.finish())
    }

    /// Makes everything of this network answer "network unreachable", unless a longer prefix says otherwise.
    pub fn refuse(&self, network: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, CREATE);
        let table = libc::RT_TABLE_MAIN;
        message.raw(&[libc::AF_INET as u8, prefix, 0, 0, table, libc::RTPROT_STATIC, 0, libc::RTN_UNREACHABLE]);
        message.raw(&0u32.to_ne_bytes());
        message.bytes(RTA_DST, &network.octets());
        self.send(&message.finish())
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        send(self.socket.as_fd(), message, SendFlags::empty())?;
        let mut answer = [0u8; 4096];
        let (length, _) = recv(self.socket.as_fd(), &mut answer[..], RecvFlags::empty())?;
        let code = answer.get(NLMSG_HEADER..NLMSG_HEADER + 4).filter(|_| length >= NLMSG_HEADER + 4);
        let code = code.and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        match code {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(-error)),
            None => Err(io::Error::other("the kernel's netlink answer is too short")),
        }
    }
}

/// The far end of a pair.
pub struct Inner<'a> {
    pub name: &'a str,
    pub address: Ipv4Addr,
    /// Descriptor of the network namespace it is born in.
    pub namespace: u32,
}

/// The same for every generation of a server, so that its peers' neighbour tables stay true when it comes back.
fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x00, a, b, c, d]
}

/// A netlink message under construction; attributes are padded to four bytes.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; NLMSG_HEADER];
        let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self { bytes }
    }

    fn link(mut self, index: u32, up: bool) -> Self {
        self.link_header(index, up);
        self
    }

    /// `struct ifinfomsg`.
    fn link_header(&mut self, index: u32, up: bool) {
        let flags = if up { libc::IFF_UP as u32 } else { 0 };
        self.raw(&[0; 4]);
        self.raw(&index.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |inner| inner.raw(value));
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |inner| {
            inner.raw(value.as_bytes());
            inner.raw(&[0]);
        });
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.raw(&[0, 0]);
        self.raw(&kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}
