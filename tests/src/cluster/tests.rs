//! What a cluster writes before it runs, and how it says that it does not.

use super::*;

#[test]
fn configuration_files_share_masters_and_data_and_differ_in_ports() {
    let mut options = Options::new(Path::new("/bin/false"), 3);
    options.python = Some(PathBuf::from("/venv/bin/python"));
    options.extra = "custom-downing.stable-after = 12s".to_owned();
    let cluster = Cluster::prepare(options).unwrap();
    let texts: Vec<String> = (0..3)
        .map(|i| fs::read_to_string(&cluster.server(i).config).unwrap())
        .collect();
    for (index, text) in texts.iter().enumerate() {
        for other in 0..3 {
            assert!(text.contains(&format!("\"{}\"", cluster.server(other).address())));
        }
        let server = cluster.server(index);
        assert!(
            text.contains(&format!("port = {}\n", server.http)),
            "{text}"
        );
        assert!(text.contains(&format!("port = {} }}", server.member)));
        assert!(text.contains(&format!("data-dir = \"{}", cluster.path().display())));
        assert!(text.contains("python.executable = \"/venv/bin/python\""));
        assert!(text.ends_with("custom-downing.stable-after = 12s\n"));
    }
    assert_eq!(cluster.others(1), [0, 2]);
    let path = cluster.path().to_path_buf();
    drop(cluster);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_told_without_waiting() {
    let options = Options::new(Path::new("/bin/false"), 1);
    let error = Cluster::start(options).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("server 0 has ended while starting"),
        "{error}"
    );
}
