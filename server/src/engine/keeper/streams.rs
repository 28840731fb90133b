//! The pipes of a child: its input, its output into a bounded log, its answers.

use super::log::BoundedLog;
use super::protocol::{ANSWER_LINE_BYTES_MAX, Report};
use std::io::Write;
use std::os::fd::OwnedFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LinesCodec};

const BUFFER_BYTES: usize = 64 * 1024;

/// Writes texts to a child until the channel closes or the child reads no more.
pub(super) async fn feed(pipe: OwnedFd, mut texts: mpsc::Receiver<String>) {
    let Ok(mut pipe) = Sender::from_owned_fd(pipe) else {
        return;
    };
    while let Some(text) = texts.recv().await {
        if pipe.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads a child's output into its log until it ends or `stop` says so; gives the end of it.
pub(super) async fn keep_log(
    pipe: OwnedFd,
    mut log: BoundedLog,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> String {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else {
        return String::new();
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = tokio::select! {
            biased;
            count = pipe.read(&mut buffer) => count.unwrap_or(0),
            _ = &mut stop => 0,
        };
        if count == 0 {
            return log.last();
        }
        log.write(buffer.get(..count).unwrap_or_default());
    }
}

/// Reads a child's answer into a file up to `bytes_max`; gives how much there was in all.
pub(super) async fn keep_answer(pipe: OwnedFd, mut file: std::fs::File, bytes_max: u64) -> u64 {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else {
        return 0;
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total: u64 = 0;
    loop {
        let count = pipe.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return total;
        }
        let room = usize::try_from(bytes_max.saturating_sub(total)).unwrap_or(usize::MAX);
        let kept = buffer.get(..count.min(room)).unwrap_or_default();
        if file.write_all(kept).is_err() {
            // A short answer is no JSON, or another one: say that it is over its bound instead.
            return u64::MAX;
        }
        total = total.saturating_add(count as u64);
    }
}

/// Reports each line that a child answers. One that is too long ends the channel.
pub(super) async fn report_lines(pipe: OwnedFd, child: String, reports: mpsc::Sender<Report>) {
    let Ok(pipe) = Receiver::from_owned_fd(pipe) else {
        return;
    };
    let codec = LinesCodec::new_with_max_length(ANSWER_LINE_BYTES_MAX);
    let mut lines = FramedRead::new(pipe, codec);
    while let Some(Ok(text)) = lines.next().await {
        let child = child.clone();
        if reports.send(Report::Line { child, text }).await.is_err() {
            return;
        }
    }
}
