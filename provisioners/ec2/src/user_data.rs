//! What a new server is told by Amazon: to fetch its agent, to check that it is the one we mean, and who it is. Anybody on the
//! server can read this, so nothing in it is worth anything later: the enrolment token works once, and not for long. Servers that
//! share a launch can read each other's: they are of one environment, whose order's secrets are told to all of its servers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioners::{Secret, ServerId};
use serde_json::json;

use super::records::{Launch, Member};

/// Amazon's most for the text itself ("Run commands when you launch an EC2 instance with user data input").
const MOST_BYTES: usize = 16 * 1024;
/// No token is longer.
const ENROLMENT_BYTES: usize = 64;

/// Whether there is room for the members of both in one text.
pub fn has_room(one: &Launch, other: &Launch) -> bool {
    let members = one.members.iter().chain(&other.members).cloned().collect();
    let both = Launch { members, ..one.clone() };
    script(&both, |_, _| Secret::new("-".repeat(ENROLMENT_BYTES))).len() <= MOST_BYTES
}

/// Base64, as the call wants it. The same launch has the same text each time.
pub fn user_data(launch: &Launch, enrolment: impl Fn(&ServerId, i64) -> Secret) -> String {
    STANDARD.encode(script(launch, enrolment))
}

fn script(launch: &Launch, enrolment: impl Fn(&ServerId, i64) -> Secret) -> String {
    let portal = &launch.portal;
    let who = launch.members.iter().enumerate().map(|(index, member)| {
        let identity = identity(launch, member, &enrolment(&member.server, member.generation));
        format!("{index}) identity={} ;;\n", quoted(&identity))
    });
    let who: String = who.collect();
    let authorities = match &portal.authorities {
        None => String::new(),
        Some(pem) => format!("printf %s {} > /etc/bookend/portal-ca.pem\n", quoted(pem)),
    };
    let trust = if portal.authorities.is_some() { "--cacert /etc/bookend/portal-ca.pem " } else { "" };
    let (through, environment, variables) = match &portal.proxy {
        None => (String::new(), String::new(), String::new()),
        Some(proxy) => (
            format!("--proxy {} ", quoted(proxy)),
            format!("Environment=HTTPS_PROXY={proxy} HTTP_PROXY={proxy}\n"),
            format!("HTTPS_PROXY={proxy} HTTP_PROXY={proxy} "),
        ),
    };
    let index = match launch.members.len() {
        1 => "index=0".to_owned(),
        _ => INDEX.to_owned(),
    };
    SCRIPT
        .replace("@AUTHORITIES@", authorities.trim_end())
        .replace("@TRUST@", trust)
        .replace("@THROUGH@", &through)
        .replace("@ENVIRONMENT@\n", &environment)
        .replace("@VARIABLES@", &variables)
        .replace("@URL@", &quoted(&format!("{}/agent/{}/bookend-agent", portal.url, portal.agent_sha256)))
        .replace("@SHA256@", &portal.agent_sha256)
        .replace("@INDEX@", &index)
        .replace("@WHO@", who.trim_end())
}

/// Where each machine on Amazon is told about itself, and the agent of one that may be taken back looks for the notice.
const METADATA: &str = "http://169.254.169.254";

const INDEX: &str = r#"metadata=http://169.254.169.254/latest
session=$(curl -fsS --retry 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token)
index=$(curl -fsS --retry 5 -H "X-aws-ec2-metadata-token: $session" $metadata/meta-data/ami-launch-index)"#;

const SCRIPT: &str = r#"#!/bin/sh
# Made by Bookend: fetches its agent, checks it, and starts it at every boot.
set -eu
umask 077
mkdir -p /etc/bookend /var/lib/bookend /usr/local/lib/bookend
@AUTHORITIES@
agent=/usr/local/lib/bookend/bookend-agent
curl -fsS @TRUST@@THROUGH@--retry 10 --retry-all-errors --max-time 300 -o $agent.new @URL@
echo "@SHA256@  $agent.new" | sha256sum -c - >/dev/null
chmod 755 $agent.new
mv $agent.new $agent
@INDEX@
case $index in
@WHO@
*) echo "launch index $index is not known" >&2; exit 1 ;;
esac
printf %s "$identity" > /var/lib/bookend/identity
if [ -d /run/systemd/system ]; then
cat > /etc/systemd/system/bookend-agent.service <<'END'
[Unit]
Description=Bookend agent
After=network-online.target
Wants=network-online.target
[Service]
@ENVIRONMENT@
ExecStart=/usr/local/lib/bookend/bookend-agent --directory /var/lib/bookend --run-directory /run/bookend
Restart=always
RestartSec=1
RestartPreventExitStatus=3
KillMode=process
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now bookend-agent.service
else
@VARIABLES@exec $agent --directory /var/lib/bookend --run-directory /run/bookend
fi
"#;

fn identity(launch: &Launch, member: &Member, enrolment: &Secret) -> String {
    let mut portal = json!({ "url": launch.portal.url });
    if launch.portal.authorities.is_some() {
        portal["ca_file"] = json!("/etc/bookend/portal-ca.pem");
    }
    let disks: Vec<_> = member.disks.iter().map(|disk| json!({ "volume": disk.volume, "path": disk.path })).collect();
    let mut identity = json!({
        "server": member.server.as_str(),
        "generation": member.generation,
        "enrolment": enrolment.reveal(),
        "link": { "portal": portal },
        "disks": disks,
        "hosts": "/etc/hosts",
    });
    if let Some(seconds) = launch.portal.away_seconds {
        identity["away_after_ms"] = json!(u64::from(seconds) * 1000);
    }
    if launch.spot {
        identity["notices"] = json!(METADATA);
    }
    identity.to_string()
}

/// For a shell: nothing in it means anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
