//! The program, over real sockets, and by others' eyes: Amazon's client for Python must parse every answer and agree.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Ends with its test.
pub struct Program {
    process: Child,
    endpoint: String,
}

impl Program {
    pub fn start(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-ec2"));
        let mut process = command.args(options).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let endpoint = line.trim().strip_prefix("listening on ").expect("its address").to_owned();
        Self { process, endpoint }
    }

    /// Without a chance to tidy up.
    pub fn kill(&mut self) {
        // One that has ended already is what was wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// One call of EC2's; status and body.
    pub fn call(&self, action: &str, form: &str) -> (u16, String) {
        let credential =
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIAFAKEOURS/20260101/eu-central-1/ec2/aws4_request";
        self.send("POST", "/", credential, &format!("Action={action}&Version=2016-11-15&{form}"))
    }

    /// Status and body of a request.
    pub fn ask(&self, method: &str, path: &str) -> (u16, String) {
        self.send(method, path, "Accept: */*", "")
    }

    fn send(&self, method: &str, path: &str, header: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.endpoint.trim_start_matches("http://")).expect("a connection");
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: fake\r\n{header}\r\nContent-Length: {length}");
        write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn boto3_parses_every_answer_and_agrees_with_each_fact() {
    let Some(python) = std::env::var_os("BOOKEND_TEST_BOTO3") else {
        eprintln!("Left out: BOOKEND_TEST_BOTO3 names no Python with boto3; `cargo xtask test` provides one.");
        return;
    };
    // Amazon's delays, sixty times as fast: the waiters of boto3 wait for something.
    let program = Program::start(&["--lifelike", "--speed", "60", "--seed", "5"]);
    let story = concat!(env!("CARGO_MANIFEST_DIR"), "/stories/boto3_story.py");
    let output = Command::new(python).arg(story).arg(&program.endpoint).output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "boto3 agrees");
}

#[test]
fn its_controls_tell_what_they_understand_and_what_was_wrong() {
    let program = Program::start(&[]);
    let (status, help) = program.ask("GET", "/_fake");
    assert_eq!(status, 200);
    assert!(help.contains("/_fake/capacity"));
    assert_eq!(program.ask("GET", "/_fake/nothing").0, 404);
    let (status, why) = program.ask("GET", "/_fake/advance?ms=5");
    assert!(status == 400 && why.contains("POST"), "{status} {why}");
    let (status, why) = program.ask("POST", "/_fake/advance?ms=soon");
    assert!(status == 400 && why.contains("whole number"), "{status} {why}");
    let (status, why) = program.ask("POST", "/_fake/interrupt?id=i-1");
    assert!(status == 400 && why.contains("i-1"), "{status} {why}");
    let before: i64 = program.ask("POST", "/_fake/advance?ms=0").1.trim().parse().expect("a time");
    let after: i64 = program.ask("POST", "/_fake/advance?ms=3600000").1.trim().parse().expect("a time");
    assert!(after >= before + 3_600_000);
    assert_eq!(program.ask("POST", "/_fake/plant?count=10").1.lines().count(), 10);
    let state: serde_json::Value = serde_json::from_str(&program.ask("GET", "/_fake/state").1).expect("JSON");
    assert!(state["now_ms"].as_i64() >= Some(after));
}
