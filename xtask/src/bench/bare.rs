//! The bare mechanism of a failover, the limit of what can be reached here: a process is killed; its
//! peer sees the connection reset, dials again, is refused, commits once (an append and an
//! `fdatasync`), and answers the next call of a client that calls every 10 ms.

use doyen_tests::load::millis;
use doyen_tests::{Outcome, trouble};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// About the size of one transaction in the WAL of a store without pages.
const COMMIT_BYTES: usize = 300;
/// The client's period.
const PERIOD: Duration = Duration::from_millis(10);
/// More than any round can take, even on a busy machine.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// The life of the process that is killed: listens, says where, keeps what connects.
///
/// # Errors
/// No port, or nobody reads where it listens.
pub(crate) fn hold() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", listener.local_addr()?.port())?;
    output.flush()?;
    let mut kept = Vec::new();
    // Bounded by its parent: a round makes two connections.
    while kept.len() < 16 {
        kept.push(listener.accept()?.0);
    }
    Ok(())
}

/// Whether the office has been claimed, and who waits for it.
type Office = Arc<(Mutex<bool>, Condvar)>;

/// One round: from the kill to the first answer of a call that was sent after it, in milliseconds.
///
/// # Errors
/// The round could not be set up, or took too long.
pub(super) fn round(folder: &Path, phase: Duration) -> Outcome<f64> {
    let (mut holder, port) = start_holder()?;
    let outcome = measure(&mut holder, port, folder, phase);
    let _ = holder.kill();
    let _ = holder.wait();
    outcome
}

fn start_holder() -> Outcome<(Child, u16)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("bare-holder")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut holder = command.spawn()?;
    let mut line = String::new();
    if let Some(output) = holder.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    match line.trim().parse() {
        Ok(port) => Ok((holder, port)),
        Err(_) => {
            let _ = holder.kill();
            let _ = holder.wait();
            Err(trouble("the bare holder did not say where it listens"))
        }
    }
}

fn measure(holder: &mut Child, port: u16, folder: &Path, phase: Duration) -> Outcome<f64> {
    let link = TcpStream::connect(("127.0.0.1", port))?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("bare.log"))?;
    let office: Office = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(ROUND_MAX))?;
    let gateway = listener.accept()?.0;
    gateway.set_nodelay(true)?;
    let claimed = Arc::clone(&office);
    let claimant = std::thread::spawn(move || claim(link, port, &log, &claimed));
    let answering = std::thread::spawn(move || answer(gateway, &office));

    // The client's clock ticks every 10 ms; the kill falls between two ticks.
    let first_tick = Instant::now() + PERIOD;
    std::thread::sleep((first_tick + phase).saturating_duration_since(Instant::now()));
    let fault = Instant::now();
    holder.kill()?;
    let mut tick = first_tick;
    while tick <= fault {
        tick += PERIOD;
    }
    std::thread::sleep(tick.saturating_duration_since(Instant::now()));
    client.write_all(b"?")?;
    client.read_exact(&mut [0])?;
    let took = millis(fault.elapsed());
    drop(client);
    let ended = [claimant.join(), answering.join()];
    for outcome in ended {
        outcome.map_err(|_| trouble("a thread of the bare round ended badly"))??;
    }
    Ok(took)
}

/// The peer: sees the end of the connection, dials again until refused, commits.
fn claim(mut link: TcpStream, port: u16, mut log: &File, office: &Office) -> Outcome<()> {
    // An end of file and a reset are the same news.
    let _ = link.read(&mut [0]);
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {}
    log.write_all(&[b'.'; COMMIT_BYTES])?;
    log.sync_data()?;
    let (claimed, changed) = &**office;
    *claimed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    changed.notify_all();
    Ok(())
}

/// Holds each call until the office is claimed, then answers it.
fn answer(mut gateway: TcpStream, office: &Office) -> Outcome<()> {
    let (claimed, changed) = &**office;
    while gateway.read(&mut [0])? == 1 {
        let mut is_claimed = claimed.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_claimed {
            let waited = changed.wait_timeout(is_claimed, ROUND_MAX);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            is_claimed = guard;
            if timeout.timed_out() {
                return Err(trouble("the bare claim was never made"));
            }
        }
        drop(is_claimed);
        gateway.write_all(b"!")?;
    }
    Ok(())
}
