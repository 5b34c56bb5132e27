//! What an instance's first process does: what an image's own boot would, in as far as user-data can tell.
//!
//! The first boot runs user-data once; every boot starts the services that were enabled, by `$EMULATOR` if there is one. For the latter there is a
//! `systemctl` of a few lines, so that user-data which is written for a real image takes the same way here.

/// The first process: `/bin/sh` reads this.
pub const INIT: &str = r#"mkdir -p /run/systemd/system /var/log /var/lib/cloud
cd /
if [ ! -e /var/lib/cloud/done ]; then
    echo "first boot of $INSTANCE" >> /var/log/cloud-init-output.log
    if /var/lib/cloud/user-data >> /var/log/cloud-init-output.log 2>&1
    then touch /var/lib/cloud/done
    else echo "user-data ended with code $?" >> /var/log/cloud-init-output.log; touch /var/lib/cloud/done
    fi
fi
for unit in /etc/systemd/system/multi-user.target.wants/*.service; do
    [ -e "$unit" ] || continue
    command=$(sed -n 's/^ExecStart=//p' "$unit")
    never=$(sed -n 's/^RestartPreventExitStatus=//p' "$unit")
    while :; do
        $EMULATOR $command >> /var/log/services.log 2>&1
        code=$?
        [ -n "$never" ] && [ "$code" = "$never" ] && break
        sleep 1
    done &
done
while :; do sleep 3600; done
"#;

/// `/usr/local/bin/systemctl`: `enable` is understood, with `--now` in any place; services start when user-data has ended.
pub const SYSTEMCTL: &str = r#"#!/bin/sh
wants=/etc/systemd/system/multi-user.target.wants
case "$1" in
enable)
    shift
    for unit; do
        case $unit in --*) continue ;; esac
        mkdir -p $wants
        ln -sf ../"${unit%.service}.service" $wants/
    done ;;
esac
"#;

/// Users, names and the like: what programs look up in `/etc` before they do anything.
pub const ETC: [(&str, &str); 5] = [
    ("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("resolv.conf", ""),
];

/// Taken from the machine where it has them, in as far as everybody may read them.
pub const COPIED: [&str; 14] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "profile",
    "protocols",
    "services",
];
