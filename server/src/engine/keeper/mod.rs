//! `doyen keeper`: starts the children of one driver and ends them with it (protocol.md E4).
//!
//! Standard input is a socket pair to the driver, standard output the driver's lock (E3), standard
//! error the driver's log. The keeper is a subreaper: what a child leaves behind is adopted by it.
//! When the socket closes (the driver is gone, however) it kills everything and ends after its last
//! descendant. It has no cgroup yet: descent and process groups are what it kills by.

mod children;
mod ending;
pub(super) mod log;
pub mod protocol;
mod streams;

use children::Children;
use protocol::{Command, LINE_BYTES_MAX, Report};
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LinesCodec};

/// Reports that wait for the driver to read them; a driver that is stopped holds its children back.
const REPORTS_MAX: usize = 64;

/// The whole of `doyen keeper`. Exit code 0 when everything that it started is gone.
#[must_use]
pub fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(serve())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("doyen keeper: {e}; it is started by `doyen driver`, not by hand");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    let mut ended = signal(SignalKind::child())?;
    let mut terminated = signal(SignalKind::terminate())?;
    // A hang-up of the driver's terminal ends the driver; the socket tells.
    let _hung_up = signal(SignalKind::hangup())?;
    let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(socket)?.into_split();
    let lock = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (reports, queue) = mpsc::channel(REPORTS_MAX);
    let writer = tokio::spawn(write_reports(write, queue));
    let lines = FramedRead::new(read, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    let mut children = Children::new(lock, reports);
    follow(lines, &mut children, &mut ended, &mut terminated).await;
    children.close_inputs();
    ending::end_everything(&mut ended).await;
    drop(children);
    writer.abort();
    Ok(())
}

/// Until the driver is gone, or the machine shuts down.
async fn follow(
    mut lines: FramedRead<tokio::net::unix::OwnedReadHalf, LinesCodec>,
    children: &mut Children,
    ended: &mut Signal,
    terminated: &mut Signal,
) {
    loop {
        tokio::select! {
            biased;
            _ = terminated.recv() => return,
            line = lines.next() => match line {
                Some(Ok(line)) => match serde_json::from_str::<Command>(&line) {
                    Ok(command) => children.carry_out(command).await,
                    Err(e) => eprintln!("doyen keeper: a command cannot be read: {e}"),
                },
                Some(Err(e)) => {
                    eprintln!("doyen keeper: the driver's commands cannot be read: {e}");
                    return;
                }
                None => return,
            },
            _ = ended.recv() => children.reap(),
        }
    }
}

async fn write_reports(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Report>) {
    while let Some(report) = queue.recv().await {
        let Ok(mut line) = serde_json::to_string(&report) else {
            continue;
        };
        line.push('\n');
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}
