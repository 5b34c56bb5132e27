//! Asking for one page again and again. Blocking sockets and a few threads: the load has a core of its own and must not
//! show in what it measures. Every answer is read to its end and has to be a 200.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::times::Times;

/// Connections that are kept busy at full speed.
const CONNECTIONS: usize = 16;
/// Connections that a timetable may use: more than are ever needed while the portal keeps up.
const WAITING: usize = 64;

#[derive(Clone)]
pub struct Target {
    /// HOST:PORT.
    pub address: String,
    pub path: String,
    /// Value of the header.
    pub authorization: String,
}

/// Answers per second.
pub fn at_full_speed(target: &Target, time: Duration) -> Outcome<f64> {
    let begun = Instant::now();
    let answered = on_threads(CONNECTIONS, |_| {
        let mut connection = Connection::open(target)?;
        let mut answered = 0_u64;
        while begun.elapsed() < time {
            connection.get()?;
            answered += 1;
        }
        Ok(answered)
    })?;
    Ok(answered.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// Asks `rate` times a second, whether or not answers come; each time is from when the request was due to its answer's end.
pub fn by_timetable(target: &Target, rate: f64, time: Duration) -> Outcome<Times> {
    let begun = Instant::now() + Duration::from_millis(100);
    let next = AtomicU64::new(0);
    let times = on_threads(WAITING, |_| {
        let mut connection = Connection::open(target)?;
        let mut times = Vec::new();
        loop {
            let due = Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / rate);
            if due >= time {
                return Ok(times);
            }
            let due = begun + due;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            connection.get()?;
            times.push(due.elapsed());
        }
    })?;
    Ok(times.into_iter().flatten().collect())
}

/// Times to the first byte, one request after the other.
pub fn one_by_one(target: &Target, count: usize) -> Outcome<Times> {
    let mut connection = Connection::open(target)?;
    connection.get()?;
    (0..count).map(|_| connection.get()).collect::<Outcome<Vec<_>>>().map(|times| times.into_iter().collect())
}

fn on_threads<T: Send>(count: usize, work: impl Fn(usize) -> Outcome<T> + Sync) -> Outcome<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".into()))).collect()
    })
}

struct Connection {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    path: String,
}

impl Connection {
    fn open(target: &Target) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("Cannot reach {}: {error}", target.address);
        let stream = TcpStream::connect(&target.address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nAccept: text/html\r\nAccept-Encoding: gzip, br\r\n\r\n",
            target.path, target.address, target.authorization
        );
        let stream = BufReader::with_capacity(128 * 1024, stream);
        Ok(Self { stream, request: request.into_bytes(), path: target.path.clone() })
    }

    /// One answer, read whole; the time to its first byte.
    fn get(&mut self) -> Outcome<Duration> {
        let asked = Instant::now();
        self.stream.get_mut().write_all(&self.request).map_err(|error| format!("{}: {error}", self.path))?;
        self.stream.fill_buf().map_err(|error| format!("{}: {error}", self.path))?;
        let first_byte = asked.elapsed();
        self.read_answer().map_err(|error| format!("{}: {error}", self.path))?;
        Ok(first_byte)
    }

    fn read_answer(&mut self) -> Outcome<()> {
        let status = self.line()?;
        if !status.starts_with("HTTP/1.1 200") {
            return Err(format!("the portal answered {status:?}"));
        }
        let (mut length, mut is_chunked) = (None, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok(),
                Some(("transfer-encoding", "chunked")) => is_chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        match (length, is_chunked) {
            (Some(length), _) => self.skip(length),
            (None, true) => loop {
                let size = u64::from_str_radix(&self.line()?, 16).map_err(|_| "a chunk without a size".to_owned())?;
                self.skip(size)?;
                self.line()?;
                if size == 0 {
                    return Ok(());
                }
            },
            (None, false) => Err("an answer without a length".into()),
        }
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim_end().to_owned())
    }

    fn skip(&mut self, length: u64) -> Outcome<()> {
        let read = std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink());
        match read {
            Ok(read) if read == length => Ok(()),
            Ok(_) => Err("the answer broke off".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}
