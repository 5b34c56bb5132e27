//! Bodies: instances that really run, by what they do and leave behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};

use crate::client::one;
use crate::program::Program;

/// A portal of one word: whoever asks hears what was asked.
fn portal() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0u8; 1024];
            let length = stream.read(&mut asked).unwrap_or(0);
            let line = String::from_utf8_lossy(&asked[..length]).lines().next().unwrap_or_default().to_owned();
            let body = format!("heard {line}\n");
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        }
    });
    address
}

struct Place {
    program: Program,
    directory: tempfile::TempDir,
}

impl Place {
    fn open(portal: SocketAddr) -> Self {
        let directory = tempfile::Builder::new().prefix("fake-ec2-").tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("permissions");
        let home = directory.path().to_string_lossy().into_owned();
        let program = Program::start(&["--bodies", &home, "--portal", &portal.to_string()]);
        Self { program, directory }
    }

    fn does(&self, action: &str, form: &str) -> String {
        let (status, body) = self.program.call(action, form);
        assert_eq!(status, 200, "{action} {form}: {body}");
        body
    }

    /// Launches an instance that runs a script.
    fn launch(&self, script: &str, more: &str) -> String {
        let image = self.does("DescribeImages", "Filter.1.Name=name&Filter.1.Value.1=debian-12-amd64-20261005*");
        let (image, data) = (one(&image, "imageId"), STANDARD.encode(format!("#!/bin/sh\n{script}")));
        let data = data.replace('+', "%2B").replace('=', "%3D");
        let zone = "Placement.AvailabilityZone=eu-central-1a";
        let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&UserData={data}&{zone}&{more}");
        one(&self.does("RunInstances", &form), "instanceId")
    }

    fn in_root(&self, instance: &str, path: &str) -> PathBuf {
        self.directory.path().join("instances").join(instance).join("root").join(path)
    }

    fn await_text(&self, path: &Path, wanted: &str) -> String {
        let said = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        until(&format!("{wanted:?} in {}", path.display()), || said(path).contains(wanted));
        said(path)
    }
}

/// The directory goes when nobody writes into it any more.
impl Drop for Place {
    fn drop(&mut self) {
        self.program.kill();
        let lock = std::fs::File::open(self.directory.path().join("lock"));
        let ended = |lock: &std::fs::File| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if let Ok(lock) = lock {
            let begun = Instant::now();
            while !ended(&lock) && begun.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come about");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_instance_runs_its_user_data_and_reaches_the_portal_and_its_metadata_and_nothing_else() {
    let portal = portal();
    let place = Place::open(portal);
    let script = format!(
        "metadata=http://169.254.169.254/latest\n\
         curl -s -o /dev/null -w 'without token %{{http_code}}\\n' $metadata/meta-data/instance-id\n\
         token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token)\n\
         echo I am $(curl -s -H \"X-aws-ec2-metadata-token: $token\" $metadata/meta-data/instance-id)\n\
         curl -s http://172.31.0.1:{}/hello\n\
         curl -s --max-time 3 http://127.0.0.1:{}/ || echo no machine\n\
         ls /root /home /work 2>/dev/null\n\
         echo done\n",
        portal.port(),
        portal.port()
    );
    let instance = place.launch(&script, "");
    let log = place.in_root(&instance, "var/log/cloud-init-output.log");
    let said = place.await_text(&log, "done\n");
    assert!(said.contains("without token 401"), "{said}");
    assert!(said.contains(&format!("I am {instance}")), "{said}");
    assert!(said.contains("heard GET /hello"), "{said}");
    assert!(said.contains("no machine"), "{said}");
}

#[test]
fn what_is_on_a_volume_is_in_its_snapshot_as_it_was_and_comes_back_at_another_instance() {
    let place = Place::open(portal());
    let volume = one(&place.does("CreateVolume", "AvailabilityZone=eu-central-1a&Size=1"), "volumeId");
    let writes = format!(
        "while [ ! -d /dev/disk/bookend/{volume} ]; do sleep 0.1; done\nmkdir /data\n\
         mount --bind /dev/disk/bookend/{volume} /data && echo first > /data/note && echo written\n\
         while ! [ -e /data/more ]; do sleep 0.1; done; echo second > /data/note; echo rewritten\n"
    );
    let writer = place.launch(&writes, "");
    place.does("AttachVolume", &format!("VolumeId={volume}&InstanceId={writer}&Device=/dev/sdf"));
    let log = place.in_root(&writer, "var/log/cloud-init-output.log");
    place.await_text(&log, "written");
    let snapshot = one(&place.does("CreateSnapshot", &format!("VolumeId={volume}")), "snapshotId");
    let home = place.directory.path().join("instances").join(&writer).join("disks").join(&volume);
    std::fs::write(home.join("more"), "").expect("written");
    place.await_text(&log, "rewritten");

    let form = format!("AvailabilityZone=eu-central-1a&SnapshotId={snapshot}");
    let restored = one(&place.does("CreateVolume", &form), "volumeId");
    let reads = format!(
        "while [ ! -e /dev/disk/bookend/{restored}/note ]; do sleep 0.1; done\n\
         echo it says $(cat /dev/disk/bookend/{restored}/note)\n"
    );
    let reader = place.launch(&reads, "");
    place.does("AttachVolume", &format!("VolumeId={restored}&InstanceId={reader}&Device=/dev/sdf"));
    place.await_text(&place.in_root(&reader, "var/log/cloud-init-output.log"), "it says first");

    // What ends leaves its data, and what was removed is gone.
    place.does("TerminateInstances", &format!("InstanceId.1={writer}&InstanceId.2={reader}"));
    let kept = place.directory.path().join("volumes").join(&volume).join("note");
    assert_eq!(std::fs::read_to_string(&kept).expect("the note"), "second\n");
    assert!(!place.directory.path().join("instances").join(&writer).exists());
    place.does("DeleteVolume", &format!("VolumeId={volume}"));
    assert!(!kept.exists());
}

#[test]
fn a_stopped_instance_comes_back_with_its_root_and_its_services_and_without_its_first_boot() {
    let place = Place::open(portal());
    let script = "echo booted for the first time\nprintf '#!/bin/sh\\necho serving >> /var/log/boots\\nexec sleep 1000\\n' > /usr/local/bin/serve\n\
                  chmod 755 /usr/local/bin/serve\n\
                  printf '[Service]\\nExecStart=/usr/local/bin/serve\\n' > /etc/systemd/system/serve.service\n\
                  systemctl daemon-reload\nsystemctl enable --now serve.service\n";
    let instance = place.launch(script, "");
    let boots = place.in_root(&instance, "var/log/boots");
    place.await_text(&boots, "serving\n");
    let form = format!("InstanceId.1={instance}");
    place.does("StopInstances", &form);
    place.does("StartInstances", &form);
    place.await_text(&boots, "serving\nserving\n");
    let log = place.in_root(&instance, "var/log/cloud-init-output.log");
    let said = std::fs::read_to_string(log).expect("a log");
    assert_eq!(said.matches("first time").count(), 1, "{said}");
}

#[test]
fn bodies_end_with_the_fake_even_when_it_is_killed() {
    let mut place = Place::open(portal());
    let instance = place.launch("while :; do date +%s.%N > /var/log/alive; sleep 0.05; done\n", "");
    let alive = place.in_root(&instance, "var/log/alive");
    until("a sign of life", || alive.exists());
    place.program.kill();
    let lock = std::fs::File::open(place.directory.path().join("lock")).expect("the lock");
    // Only the holder has it, and everything else goes before the holder does.
    until("the end", || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
    let last = std::fs::read_to_string(&alive).expect("a time");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(std::fs::read_to_string(&alive).expect("a time"), last);
}
