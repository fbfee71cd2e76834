//! A real private server: durable, killable, its data guarded.

use sandbox::redis::{CommandError, StartError, find};
use sandbox::{Options, Redis, TempDir};

#[test]
fn it_is_durable_by_default_and_survives_a_kill() {
    let redis = Redis::start(Options::default()).expect("a server");
    assert_eq!(redis.command(&["PING"]).expect("an answer"), "PONG");
    let setting = |name| redis.command(&["CONFIG", "GET", name]).expect("a setting");
    assert_eq!(setting("appendfsync"), "appendfsync\nalways");
    assert_eq!(setting("maxmemory-policy"), "maxmemory-policy\nnoeviction");
    assert_eq!(setting("save"), "save\n");

    redis.command(&["SET", "kept", "yes"]).expect("a write");
    let (port, pid) = (redis.port(), redis.pid());
    redis.kill9();
    assert!(matches!(redis.command(&["PING"]), Err(CommandError::Unreachable(_))));
    redis.restart().expect("it starts again");
    assert_eq!(redis.port(), port);
    assert_ne!(redis.pid(), pid);
    assert_eq!(redis.command(&["GET", "kept"]).expect("an answer"), "yes");
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{port}/"));
}

#[test]
fn two_servers_share_nothing() {
    let (one, two) = std::thread::scope(|scope| {
        let start = || Redis::start(Options::default()).expect("a server");
        let other = scope.spawn(start);
        (start(), other.join().expect("no panic"))
    });
    one.command(&["SET", "key", "1"]).expect("a write");
    assert_eq!(two.command(&["GET", "key"]).expect("an answer"), "");
    assert_ne!(one.dir(), two.dir());
}

#[test]
fn a_paused_server_answers_after_it_is_resumed() {
    let redis = Redis::start(Options::default()).expect("a server");
    redis.pause().expect("a signal");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", redis.pid()));
    // Where there is no /proc, the signal alone has to do.
    assert!(stat.is_ok_and(|stat| stat.contains(") T ")) || !cfg!(target_os = "linux"));
    redis.resume().expect("a signal");
    assert_eq!(redis.command(&["PING"]).expect("an answer"), "PONG");
}

#[test]
fn stopping_ends_it_cleanly_and_dropping_removes_its_files() {
    let redis = Redis::start(Options::default()).expect("a server");
    let dir = redis.dir().to_owned();
    assert!(dir.join("appendonlydir").is_dir());
    redis.stop();
    assert!(redis.log_tail(3).contains("bye bye"), "{}", redis.log_tail(3));
    drop(redis);
    assert!(!dir.exists());
}

#[test]
fn foreign_data_is_refused_in_one_sentence() {
    let home = TempDir::new("stamp").expect("temporary folder");
    let options = Options { dir: Some(home.path().join("a b")), ..Options::default() };
    Redis::start(options.clone()).expect("a path with a space").stop();
    Redis::start(options.clone()).expect("our own data").stop();

    std::fs::write(home.path().join("a b/written-by"), "redis 99.0.0\n").expect("a file");
    let refused = Redis::start(options).expect_err("data of a server to come");
    let StartError::ForeignData(why) = refused else { panic!("{refused}") };
    assert!(why.contains("redis 99.0.0"), "{why}");
    assert_eq!(why.lines().count(), 1);
}

#[test]
fn a_setting_the_server_does_not_know_is_told() {
    let extra_args = vec!["--no-such-setting".to_owned(), "1".to_owned()];
    let options = Options { extra_args, ..Options::default() };
    let failed = Redis::start(options).expect_err("it must not start").to_string();
    assert!(failed.contains("no-such-setting"), "{failed}");
}

#[test]
fn the_server_found_is_one_we_support() {
    let server = find().expect("the tests need a server program");
    assert!(server.path.is_file());
    assert!(server.version.major >= 7);
}
