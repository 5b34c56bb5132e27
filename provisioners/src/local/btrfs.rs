//! Subvolumes of btrfs: directories that are copied and removed as a whole, in one step, whatever is in them. Used only where
//! the portal runs as root, for only root may remove one with something in it. Everything `unsafe` of this crate is here:
//! the system calls that no safe wrapper exists for. Numbers and layouts are those of Linux's `include/uapi/linux/btrfs.h`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `BTRFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x9123_683E;
/// Every subvolume's root directory has this inode number, and nothing else has.
const ROOT_INODE: u64 = 256;
/// `_IOW(0x94, …, struct btrfs_ioctl_vol_args)`.
const SNAP_CREATE: libc::Ioctl = 0x5000_9401u32 as libc::Ioctl;
const SUBVOL_CREATE: libc::Ioctl = 0x5000_940Eu32 as libc::Ioctl;
const SNAP_DESTROY: libc::Ioctl = 0x5000_940Fu32 as libc::Ioctl;
/// `_IOWR(0x94, 61, struct btrfs_ioctl_get_subvol_rootref_args)`.
const GET_SUBVOL_ROOTREF: libc::Ioctl = 0xD000_943Du32 as libc::Ioctl;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolumeArguments {
    fd: i64,
    name: [u8; 4088],
}

impl VolumeArguments {
    fn new(fd: i64, name: &CStr) -> io::Result<Self> {
        let bytes = name.to_bytes();
        let mut arguments = Self { fd, name: [0; 4088] };
        let place = arguments.name.get_mut(..bytes.len()).filter(|_| bytes.len() <= 255);
        place.ok_or(io::ErrorKind::InvalidFilename)?.copy_from_slice(bytes);
        Ok(arguments)
    }
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
struct RootReferences {
    least: u64,
    found: [[u64; 2]; 255],
    count: u8,
    align: [u8; 7],
}

/// `_IOR(0x94, 60, struct btrfs_ioctl_get_subvol_info_args)`.
const GET_SUBVOL_INFO: libc::Ioctl = 0x81F8_943Cu32 as libc::Ioctl;

/// `struct btrfs_ioctl_get_subvol_info_args`, as numbers: 504 bytes.
#[repr(C)]
struct Information([u64; 63]);

fn call<T>(fd: BorrowedFd<'_>, request: libc::Ioctl, arguments: &mut T) -> io::Result<()> {
    // SAFETY: each of the requests above takes a pointer to the structure it is called with below, of the size that is part
    // of its number; descriptor and structure live through the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(arguments)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this directory is on btrfs.
pub fn is_here(directory: impl AsFd) -> bool {
    rustix::fs::fstatfs(directory).is_ok_and(|found| found.f_type as u64 == MAGIC)
}

/// Whether this directory is the root of a subvolume.
pub fn is_subvolume(directory: impl AsFd) -> bool {
    rustix::fs::fstat(&directory).is_ok_and(|found| found.st_ino == ROOT_INODE) && is_here(directory)
}

/// Makes an empty subvolume.
pub fn create(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    call(parent, SUBVOL_CREATE, &mut VolumeArguments::new(0, name)?)
}

/// Makes a writable copy of a subvolume; what was written to it before the call is in it, and on the disk.
pub fn snapshot(from: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    call(parent, SNAP_CREATE, &mut VolumeArguments::new(i64::from(from.as_raw_fd()), name)?)
}

/// Removes a subvolume with everything in it.
pub fn destroy(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    call(parent, SNAP_DESTROY, &mut VolumeArguments::new(0, name)?)
}

/// Names this state of a subvolume: another one as soon as anything in it was changed, by whatever means but the disk's own
/// failing, which the filesystem's checksums tell when it is read.
pub fn state(subvolume: BorrowedFd<'_>) -> io::Result<String> {
    // Positions of `treeid` and `ctransid` in the structure.
    let (tree, changed) = (0, 43);
    let mut information = Information([0; 63]);
    call(subvolume, GET_SUBVOL_INFO, &mut information)?;
    Ok(format!("{} {}", information.0[tree], information.0[changed]))
}

/// Whether a subvolume has others in it, which a copy of it would lack. Whoever has a shell in it may make some.
pub fn has_subvolumes(subvolume: BorrowedFd<'_>) -> io::Result<bool> {
    let mut references = RootReferences { least: 0, found: [[0; 2]; 255], count: 0, align: [0; 7] };
    match call(subvolume, GET_SUBVOL_ROOTREF, &mut references) {
        // There are more than fit.
        Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) => Ok(true),
        other => other.map(|()| references.count > 0),
    }
}
