//! Attack 30: a local server reads the portal's files or another environment's.

use std::fs;

use provisioners::conformance::{effect, server};
use provisioners::{EnvironmentId, Provisioner, Step, VolumeId, VolumePlan};

use super::place::LocalPlace;

async fn environment(local: &impl Provisioner, name: &str, servers: &[&str]) -> EnvironmentId {
    let id = EnvironmentId::new(name);
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 20, from: None };
    let mut steps = vec![Step::CreateNetwork, Step::CreateVolume { volume }];
    steps.extend(servers.iter().map(|name| Step::StartServer { server: Box::new(server(name, 1)) }));
    for step in steps {
        local.request(&effect(&id, &step)).await.expect("a step");
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_30_a_server_reads_neither_the_portals_files_nor_another_environments() {
    let place = LocalPlace::new();
    fs::write(place.directory.path().join("portal-secret"), "CANARY-PORTAL").expect("a file");
    fs::write("/tmp/bookend-canary", "CANARY-TMP").expect("a file");
    let local = place.local().await;
    let mine = environment(&local, "mine", &["web"]).await;
    let theirs = environment(&local, "theirs", &["web"]).await;
    fs::write(place.volume(&theirs, "data").join("note"), "CANARY-THEIRS").expect("a file");

    let root = place.directory.path().display().to_string();
    let looked = place.run(
        &mine,
        "data",
        "web",
        &format!(
            "cat {root}/portal-secret /tmp/bookend-canary {root}/data/environments/theirs/volumes/data/data/note; \
         ls {root} /root /home/* /var/lib/* /run/env /run/images /mnt; \
         ls -d /proc/[0-9]*/root; for p in /proc/[0-9]*; do ls $p/root/run/env $p/root{root}; done; \
         cat /etc/shadow /proc/1/environ /proc/kcore; ls /run/docker.sock /var/run/docker.sock; \
         timeout 20 grep -rsl CANARY / --exclude-dir=proc --exclude-dir=usr; echo the end"
        ),
    );
    fs::remove_file("/tmp/bookend-canary").expect("a file");
    assert!(looked.contains("the end") && !looked.contains("CANARY"), "{looked}");
    for forbidden in ["theirs", "volumes", "docker.sock\n", "root:$"] {
        let shown = looked.lines().find(|line| line.contains(forbidden) && !line.contains("No such file"));
        assert_eq!(shown, None, "{looked}");
    }
    // It sees itself: what it may read is there.
    assert!(place.run(&theirs, "data", "web", "cat /data/note").contains("CANARY-THEIRS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_30_a_server_gains_no_privilege() {
    let place = LocalPlace::new();
    let local = place.local().await;
    let mine = environment(&local, "mine", &["web"]).await;
    let said = place.run(&mine, "data", "web",
        "id -u; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; unshare -U true && echo GAINED; unshare -n true && echo GAINED; \
         mount -t tmpfs none /mnt && echo GAINED; mknod /tmp/disk b 254 0 && echo GAINED; \
         echo x > /proc/sys/kernel/hostname && echo GAINED; ip link add x type dummy && echo GAINED; \
         touch /usr/bin/evil && echo GAINED; touch /run/bookend/link/evil && echo GAINED; \
         echo > /run/bookend/bookend-agent && echo GAINED; su -c 'echo GAINED' < /dev/null; \
         cp /usr/bin/id /tmp/id && chmod u+s,g+s /tmp/id && /tmp/id -u; stat -c '%u %g' /tmp/id; echo the end",
    );
    assert!(said.contains("the end") && !said.contains("GAINED"), "{said}");
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    let capabilities: Vec<&str> = said.lines().filter(|line| line.starts_with("Cap")).collect();
    assert!(capabilities.len() == 5 && capabilities.iter().all(|line| line.ends_with("\t0000000000000000")), "{said}");
    // On the machine its files belong to nobody, least of all to root.
    let metadata = fs::metadata(place.volume(&mine, "data").join("commands-web")).expect("a file");
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_reach_their_peers_by_name_and_no_other_environment() {
    let place = LocalPlace::new();
    let local = place.local().await;
    // The same names and the same addresses twice.
    let one = environment(&local, "one", &["web", "db"]).await;
    let two = environment(&local, "two", &["web", "db"]).await;
    for (id, word) in [(&one, "first"), (&two, "second")] {
        let serve = format!(
            "mkdir -p /tmp/site && echo {word} > /tmp/site/word && cd /tmp/site && \
             (setsid python3 -m http.server 80 > /dev/null 2>&1 &) ; \
             for i in $(seq 200); do python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1/word\")' \
             2>/dev/null && break; done; echo serving"
        );
        assert!(place.run(id, "data", "db", &serve).contains("serving"));
    }
    let ask = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://db/word\", timeout=10).read())'";
    assert!(place.run(&one, "data", "web", ask).contains("first"));
    assert!(place.run(&two, "data", "web", ask).contains("second"));
    // No way out, not even to the machine itself.
    let out = "ip route 2>/dev/null | grep default; \
               python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 3)' 2>&1 | tail -1; hostname";
    let said = place.run(&one, "data", "web", out);
    assert!(said.contains("unreachable") && said.ends_with("web\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forks_without_end_or_nests_directories_without_end_is_still_stopped() {
    let place = LocalPlace::new();
    let local = place.local().await;
    let mine = environment(&local, "mine", &["web"]).await;
    let said = place.run(&mine, "data", "web",
        "cat > /tmp/deep.py <<'EOF'\nimport os\nos.chdir('/var/tmp')\nfor i in range(3000):\n os.mkdir('d'); os.chdir('d')\n\
         os.chmod('..', 0)\nEOF\npython3 /tmp/deep.py; (setsid sh -c ':(){ :|:& };:' > /dev/null 2>&1 &); echo started",
    );
    assert!(said.contains("started"), "{said}");
    for step in [
        Step::StopServer { server: provisioners::ServerId::new("web"), generation: 1 },
        Step::DeleteVolume { volume: VolumeId::new("data") },
        Step::DeleteNetwork,
    ] {
        local.request(&effect(&mine, &step)).await.expect("a step");
    }
    assert_eq!(provisioners::conformance::Place::leftovers(&place, &mine).await, Vec::<String>::new());
}
