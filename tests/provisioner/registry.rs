//! A real registry on loopback, and images made for it file by file.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

pub struct Registry {
    process: Child,
    pub address: String,
    _directory: tempfile::TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        // Somebody else may have chosen before; either choice will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let configuration = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            directory.path().join("store").display()
        );
        let file = directory.path().join("config.yml");
        std::fs::write(&file, configuration).expect("a configuration");
        let mut command = Command::new("docker-registry");
        let process = command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let registry = Self { process: process.expect("Debian's docker-registry"), address, _directory: directory };
        while reqwest::get(format!("http://{}/v2/", registry.address)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        registry
    }

    /// Pushes an image of these layers, gzip-compressed tar archives; returns its reference.
    pub async fn push(&self, name: &str, layers: &[Vec<u8>]) -> String {
        let configuration = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Env": ["PATH=/bin:/usr/bin", "GREETING=hello"], "WorkingDir": "/srv/app"},
        });
        let configuration = configuration.to_string().into_bytes();
        let mut described = Vec::new();
        for layer in layers {
            self.upload(name, layer).await;
            described.push(descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer));
        }
        self.upload(name, &configuration).await;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": kind, "layers": described,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &configuration),
        });
        let url = format!("http://{}/v2/{name}/manifests/latest", self.address);
        let put = reqwest::Client::new().put(url).header("Content-Type", kind).body(manifest.to_string());
        put.send().await.and_then(|answer| answer.error_for_status()).expect("a pushed manifest");
        format!("{}/{name}:latest", self.address)
    }

    async fn upload(&self, name: &str, blob: &[u8]) {
        let client = reqwest::Client::new();
        let started = client.post(format!("http://{}/v2/{name}/blobs/uploads/", self.address)).send().await;
        let started = started.and_then(|answer| answer.error_for_status()).expect("a started upload");
        let place = started.headers()["Location"].to_str().expect("a location").to_owned();
        let url = format!("{place}{}digest={}", if place.contains('?') { "&" } else { "?" }, digest(blob));
        let put = client.put(url).header("Content-Type", "application/octet-stream").body(blob.to_vec());
        put.send().await.and_then(|answer| answer.error_for_status()).expect("an uploaded blob");
    }

    /// Where the registry keeps a blob.
    pub fn blob(&self, blob: &[u8]) -> std::path::PathBuf {
        let hex = digest(blob).split_off("sha256:".len());
        let store = self._directory.path().join("store/docker/registry/v2/blobs/sha256");
        store.join(&hex[..2]).join(&hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn digest(blob: &[u8]) -> String {
    Sha256::digest(blob).iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn descriptor(kind: &str, blob: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": kind, "digest": digest(blob), "size": blob.len()})
}

/// A layer made by a Python program that has `add(name, content=None, **attributes)`.
pub fn layer(program: &str) -> Vec<u8> {
    let prelude = "import tarfile, io, sys\n\
        tar = tarfile.open(fileobj=sys.stdout.buffer, mode='w|gz')\n\
        def add(name, content=None, **attributes):\n\
        \x20   entry = tarfile.TarInfo(name)\n\
        \x20   data = None\n\
        \x20   entry.mode = 0o755\n\
        \x20   if content is not None:\n\
        \x20       data = content.encode() if isinstance(content, str) else content\n\
        \x20       entry.size = len(data)\n\
        \x20   for key, value in attributes.items():\n\
        \x20       setattr(entry, key, value)\n\
        \x20   tar.addfile(entry, io.BytesIO(data) if data is not None else None)\n\
        def directory(name, **attributes): add(name, type=tarfile.DIRTYPE, **attributes)\n\
        def link(name, target): add(name, type=tarfile.SYMTYPE, linkname=target)\n\
        def hard(name, target): add(name, type=tarfile.LNKTYPE, linkname=target)\n";
    let output = Command::new("python3").arg("-c").arg(format!("{prelude}{program}\ntar.close()\n")).output();
    let output = output.expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A layer with a shell and a few commands, with the libraries they need.
pub fn shell() -> Vec<u8> {
    let mut files = vec!["/bin/sh", "/bin/cat", "/bin/ls", "/usr/bin/id", "/bin/mkfifo", "/bin/sleep", "/usr/bin/stat"];
    files.retain(|file| Path::new(file).exists());
    let mut program = String::from("import subprocess, os\nneeded = {}\n");
    program.push_str(&format!("files = {files:?}\n"));
    program.push_str(
        "for file in files:\n\
         \x20   needed[file] = file\n\
         \x20   for word in subprocess.run(['ldd', file], capture_output=True, text=True).stdout.split():\n\
         \x20       if word.startswith('/'): needed[word] = word\n\
         for name in needed:\n\
         \x20   add(name.lstrip('/'), open(name, 'rb').read())\n",
    );
    layer(&program)
}
