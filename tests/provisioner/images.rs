//! Servers made from images of a registry, well-meaning ones and others.

use std::time::Duration;

use provisioners::conformance::{effect, server};
use provisioners::{EnvironmentId, Image, MachineState, Provisioner, Step, VolumeId, VolumePlan};

use super::place::LocalPlace;
use super::registry::{Registry, layer, shell};

/// Starts a server of this image and waits until it runs or never will.
async fn start(local: &impl Provisioner, environment: &EnvironmentId, generation: i64, image: &str) -> MachineState {
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 20, from: None };
    let mut plan = server("web", generation);
    plan.image = Image::Oci(image.to_owned());
    let steps = [Step::CreateNetwork, Step::CreateVolume { volume }, Step::StartServer { server: Box::new(plan) }];
    for step in steps {
        local.request(&effect(environment, &step)).await.expect("a step");
    }
    loop {
        let observed = local.observe(std::slice::from_ref(environment)).await.expect("an observation");
        match &observed[0].servers[0].state {
            MachineState::Starting { .. } => tokio::time::sleep(Duration::from_millis(10)).await,
            state => return state.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_from_an_image_of_a_registry_with_its_layers_in_order() {
    let (place, registry) = (LocalPlace::new(), Registry::start().await);
    let lower =
        layer("add('srv/app/old', 'old'); add('srv/app/kept', 'kept'); add('opaque/lower', 'x'); add('a', 'lower')");
    let upper = layer(
        "add('srv/app/.wh.old', ''); add('opaque/.wh..wh..opq', ''); add('opaque/upper', 'x'); add('a', 'upper'); \
         add('tool', 'x', mode=0o6755); hard('tool2', 'tool'); link('here', 'srv/app/kept')",
    );
    let image = registry.push("demo/app", &[shell(), lower, upper]).await;
    let local = place.local().await;
    let environment = EnvironmentId::new("image");
    assert_eq!(start(&local, &environment, 1, &image).await, MachineState::Running);
    let said = place.run(
        &environment,
        "data",
        "web",
        "echo $GREETING; ls /srv/app /opaque; cat /a /here; echo; stat -c '%a %u' /tool; id -un; ls /usr/bin/python3; \
         echo mine > /srv/app/kept && cat /here; echo end",
    );
    for expected in
        ["hello\n", "/opaque:\nupper\n", "/srv/app:\nkept\n", "upperkept\n", "755 1000\n", "bookend\n", "mine\nend\n"]
    {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    assert!(said.contains("No such file"), "the machine's programs are in the image's server: {said}");

    // The next server of the image starts from the image, not from what the last one did to its disk.
    let stop = Step::StopServer { server: server("web", 1).id, generation: 1 };
    local.request(&effect(&environment, &stop)).await.expect("a step");
    assert_eq!(start(&local, &environment, 2, &image).await, MachineState::Running);
    assert_eq!(place.run(&environment, "data", "web", "cat /here"), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_says_why() {
    let (place, registry) = (LocalPlace::new(), Registry::start().await);
    let local = place.local().await;
    let missing = start(&local, &EnvironmentId::new("missing"), 1, &format!("{}/no/such:tag", registry.address)).await;
    assert!(matches!(&missing, MachineState::Failed { reason } if reason.contains("does not have it")), "{missing:?}");
    let nonsense = start(&local, &EnvironmentId::new("nonsense"), 1, "NOT A REFERENCE").await;
    assert!(matches!(&nonsense, MachineState::Failed { reason } if reason.contains("NOT A REFERENCE")), "{nonsense:?}");
    let silent = start(&local, &EnvironmentId::new("silent"), 1, "127.0.0.1:1/a:b").await;
    assert!(
        matches!(&silent, MachineState::Failed { reason } if reason.contains("could not be reached")),
        "{silent:?}"
    );

    // A registry that was tampered with.
    let good = layer("add('file', 'good')");
    let image = registry.push("demo/changed", &[shell(), good.clone()]).await;
    std::fs::write(registry.blob(&good), vec![b'x'; good.len()]).expect("a changed blob");
    let changed = start(&local, &EnvironmentId::new("changed"), 1, &image).await;
    assert!(matches!(&changed, MachineState::Failed { .. }), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_29_and_30_an_image_reaches_nothing_outside_itself() {
    let (place, registry) = (LocalPlace::new(), Registry::start().await);
    let outside = place.directory.path().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("file"), "untouched").expect("a file");
    let target = outside.display();
    let local = place.local().await;
    // These are refused, with the reason.
    let refused = [
        ("climbs", "add('../../evil', 'x')".to_owned()),
        ("climbs-deep", "add('a/b/../../../evil', 'x')".to_owned()),
        ("hard-outside", "hard('stolen', '../../../../etc/shadow')".to_owned()),
        ("not-an-archive", "sys.stdout.buffer.write(b'x' * 4096); sys.exit(0)".to_owned()),
    ];
    for (name, program) in refused {
        let image = registry.push(&format!("attack/{name}"), &[shell(), layer(&program)]).await;
        let state = start(&local, &EnvironmentId::new(name), 1, &image).await;
        assert!(matches!(&state, MachineState::Failed { reason } if reason.contains("unpack")), "{name}: {state:?}");
    }
    // These unpack to something harmless.
    let harmless = [
        (
            "link-then-file",
            format!(
                "link('out', '{target}'); add('out/evil', 'x'); link('rel', '../../../..{target}'); add('rel/evil', 'x')"
            ),
        ),
        ("link-chain", format!("link('a', 'b'); link('b', 'c'); link('c', '{target}'); add('a/evil', 'x')")),
        ("file-through-link", format!("link('file', '{target}/file'); add('file', 'overwritten')")),
        ("hard-to-link", format!("link('l', '{target}/file'); hard('h', 'l'); add('h', 'overwritten')")),
        ("whiteout-outside", format!("link('out', '{target}'); add('out/.wh.file', '')")),
        (
            "devices",
            "add('disk', type=tarfile.BLKTYPE, devmajor=254, devminor=0); add('fifo', type=tarfile.FIFOTYPE)"
                .to_owned(),
        ),
        ("loop", "link('x', 'y'); link('y', 'x'); add('x/z', '1')".to_owned()),
        (
            "mounts",
            format!(
                "link('proc', '{target}'); link('run', '{target}'); link('etc', '{target}'); link('tmp', '{target}')"
            ),
        ),
    ];
    for (name, program) in harmless {
        let image = registry.push(&format!("attack/{name}"), &[shell(), layer(&program)]).await;
        let state = start(&local, &EnvironmentId::new(name), 1, &image).await;
        assert_eq!(state, MachineState::Running, "{name}");
    }
    let found: Vec<_> =
        std::fs::read_dir(&outside).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(found, ["file"], "something was written outside");
    assert_eq!(std::fs::read_to_string(outside.join("file")).expect("a file"), "untouched");

    // A volume is not mounted through an image's link.
    let image = registry.push("attack/data", &[shell(), layer(&format!("link('data', '{target}')"))]).await;
    let state = start(&local, &EnvironmentId::new("data"), 1, &image).await;
    assert!(matches!(&state, MachineState::Failed { reason } if reason.contains("symbolic link")), "{state:?}");
}
