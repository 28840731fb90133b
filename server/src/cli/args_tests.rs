//! What the command line takes.

use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_driver_is_launched_by_its_arguments() {
    let words = [
        "doyen",
        "driver",
        "--config",
        "s.conf",
        "--data-dir",
        "/d",
        "--context",
        "c",
        "--intent",
        "3",
        "--cluster",
        "k",
        "--incarnation",
        "00000000000000ff",
        "--server",
        "127.0.0.1:2552",
        "--server",
        "127.0.0.1:2553",
    ];
    let Verb::Driver(args) = Cli::try_parse_from(words).unwrap().verb else {
        panic!("no driver");
    };
    assert_eq!(args.incarnation, Incarnation(255));
    assert_eq!(
        args.servers,
        [
            Address::new("127.0.0.1", 2552),
            Address::new("127.0.0.1", 2553)
        ]
    );
    assert_eq!(args.config.config, Some(PathBuf::from("s.conf")));
}

#[test]
fn a_keeper_gets_its_arguments_untouched() {
    let words = [
        "doyen", "keeper", "--help", "-x", "--", "python3", "-c", "1",
    ];
    let Verb::Keeper(args) = Cli::try_parse_from(words).unwrap().verb else {
        panic!("no keeper");
    };
    let rest: Vec<_> = args.rest.iter().filter_map(|word| word.to_str()).collect();
    assert_eq!(rest, ["--help", "-x", "--", "python3", "-c", "1"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    for words in [
        &["doyen", "serve"][..],
        &["doyen", "server", "--set", "x"],
        &["doyen", "store", "--data-dir", "/d", "--idle-exit", "soon"],
        &["doyen", "driver"],
    ] {
        assert_eq!(
            Cli::try_parse_from(words).unwrap_err().exit_code(),
            2,
            "{words:?}"
        );
    }
    for words in [
        &["doyen", "--help"][..],
        &["doyen", "--version"],
        &["doyen", "server", "-h"],
    ] {
        assert_eq!(
            Cli::try_parse_from(words).unwrap_err().exit_code(),
            0,
            "{words:?}"
        );
    }
}

#[test]
fn no_line_of_the_examples_is_wider_than_80_columns() {
    for text in [
        EXAMPLES,
        SERVER_EXAMPLES,
        CHECK_EXAMPLES,
        MEMBERS_EXAMPLES,
        LEAVE_EXAMPLES,
    ] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
