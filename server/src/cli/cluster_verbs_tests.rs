//! What `members` and `leave` print.

use super::*;
use doyen_core::identity::{Address, Identity, Incarnation, Role};
use doyen_core::membership::Status;
use doyen_core::records::cluster::Generation;
use std::io::{Read, Write};
use std::net::TcpListener;

fn identity(port: u16) -> Identity {
    Identity::new(
        Address::new("127.0.0.1", port),
        Incarnation(u64::from(port)),
    )
}

fn member(port: u16, age: Option<usize>, reachable: bool, context: Option<&str>) -> MemberView {
    MemberView {
        identity: identity(port),
        role: if context.is_some() {
            Role::Driver
        } else {
            Role::Server
        },
        status: Status::Up,
        age,
        reachable,
        version: "0.1.0".to_owned(),
        context: context.map(str::to_owned),
    }
}

fn view(members: Vec<MemberView>) -> ClusterView {
    ClusterView {
        identity: identity(2553),
        cluster: None,
        epoch: Epoch(7),
        holder: Some(identity(2552)),
        generation: Generation(3),
        leader: Some(identity(2552)),
        converged: true,
        ready: true,
        takes_calls: true,
        not_ready: None,
        store_age_ms: Some(3),
        others_have_store: true,
        members,
    }
}

#[test]
fn members_are_a_table_that_fits_80_columns() {
    let text = for_people(
        &view(vec![
            member(2552, Some(0), true, None),
            member(2553, Some(1), false, None),
            member(0, None, true, Some("word-count")),
        ]),
        80,
    );
    assert!(
        text.lines().skip(2).all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let first = text.lines().next().unwrap();
    let said = "Held by 127.0.0.1:2552, epoch 7; roster generation 3; converged; ";
    assert!(first.starts_with(said), "{first}");
    assert!(words.contains(&vec![
        "127.0.0.1:2552",
        "Up",
        "0",
        "server",
        "*",
        "yes",
        "0.1.0"
    ]));
    assert!(words.contains(&vec!["127.0.0.1:2553", "Up", "1", "server", "NO", "0.1.0"]));
    assert!(words.contains(&vec![
        "127.0.0.1:0",
        "Up",
        "driver",
        "yes",
        "0.1.0",
        "word-count"
    ]));
}

/// Answers one request and gives back what was asked.
fn one_answer(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 1024];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    });
    (url, thread)
}

#[test]
fn a_server_is_asked_and_its_answer_given() {
    let (url, asked) = one_answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let (status, body) = ask(Method::GET, &format!("{url}/"), "/cluster", MEMBERS_WAIT).unwrap();
    assert_eq!((status.as_u16(), body.as_str()), (200, "{}"));
    assert_eq!(asked.join().unwrap(), "GET /cluster HTTP/1.1");
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let (url, asked) =
        one_answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 8\r\n\r\ndraining");
    let error = ask(Method::POST, &url, "/cluster/leave", LEAVE_WAIT).unwrap_err();
    assert_eq!(
        error,
        format!("{url}/cluster/leave answered 503 Service Unavailable: draining")
    );
    assert_eq!(asked.join().unwrap(), "POST /cluster/leave HTTP/1.1");
}

#[test]
fn nobody_there_is_said_plainly() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(Method::GET, &url, "/cluster", MEMBERS_WAIT).unwrap_err();
    assert_eq!(
        error,
        format!(
            "no server answers at {url}/cluster: Connection refused (os error 111); is it running?"
        )
    );
    for url in [
        "https://127.0.0.1:1",
        "127.0.0.1:8090",
        "nonsense url",
        "http://",
    ] {
        let error = ask(Method::GET, url, "/cluster", MEMBERS_WAIT).unwrap_err();
        assert!(error.contains("expected http://HOST:PORT"), "{error}");
    }
}
