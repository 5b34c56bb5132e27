//! Which device a volume is. A device's name says nothing (they are given in the order in which devices turn up); what counts is
//! what the device says of itself.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// A volume that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A block device.
    Device(PathBuf),
    /// A directory that stands in for one.
    Directory(PathBuf),
}

/// Where volumes are that somebody put there by name: directories, and devices that do not say what they are.
const BY_NAME: &str = "dev/disk/bookend";
/// udev's link to an EBS volume, named by the serial number, which is the volume's id without its hyphen.
/// <https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html>
const BY_ID: &str = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_";

pub(super) fn find(root: &Path, volume: &str) -> Option<Found> {
    let named = root.join(BY_NAME).join(volume);
    if named.is_dir() {
        return Some(Found::Directory(named));
    }
    let serial = volume.replace('-', "");
    let by_id = root.join(format!("{BY_ID}{serial}"));
    [named, by_id].into_iter().chain(by_serial(root, &serial)).find(|place| is_device(place)).map(Found::Device)
}

/// For machines whose udev makes no links.
fn by_serial(root: &Path, serial: &str) -> Option<PathBuf> {
    let devices = std::fs::read_dir(root.join("sys/block")).ok()?.filter_map(Result::ok);
    let name = devices.map(|device| device.file_name()).find(|name| {
        let file = root.join("sys/block").join(name).join("device/serial");
        let nvme = name.to_str().is_some_and(|name| name.starts_with("nvme"));
        nvme && std::fs::read_to_string(file).is_ok_and(|said| said.trim() == serial)
    });
    Some(root.join("dev").join(name?))
}

fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_block_device())
}
