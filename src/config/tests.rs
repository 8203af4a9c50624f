use super::*;

fn sources(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: Option<&str>) -> Sources {
    Sources {
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        file: file.map(|text| (PathBuf::from("q.toml"), text.to_owned())),
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = Some("listen = \"127.0.0.1:3\"\nworkers = 3\nflush_interval_ms = 30");
    let environment = [("QUOTAGATE_LISTEN", "127.0.0.1:2"), ("QUOTAGATE_WORKERS", "2"), ("HOME", "/")];
    let given = sources(&[("listen", "127.0.0.1:1")], &environment, file);

    let config = Config::from_sources(&given).unwrap();

    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.workers, 2);
    assert_eq!(config.flush_interval, Duration::from_millis(30));
    assert_eq!(config.data, PathBuf::from("./data"));
}

#[test]
fn an_error_names_the_setting_and_where_it_came_from() {
    let error = |given: &Sources| Config::from_sources(given).unwrap_err().to_string();

    assert_eq!(
        error(&sources(&[], &[("QUOTAGATE_WORKERS", "many")], None)),
        "setting `workers` from the environment variable `QUOTAGATE_WORKERS`: `many` is not valid: write an \
         integer from 1 to 1024"
    );
    let from_file = error(&sources(&[], &[], Some("log_format = \"xml\"")));
    assert!(from_file.contains("`log_format` from the file `q.toml`"), "{from_file}");
    let from_flag = error(&sources(&[("flush_interval_ms", "0")], &[], None));
    assert!(from_flag.contains("the flag `--flush-interval-ms`"), "{from_flag}");
}

#[test]
fn a_misspelt_setting_is_an_error_wherever_it_stands() {
    let unknown = |given: &Sources| matches!(Config::from_sources(given), Err(ConfigError::Unknown { .. }));

    assert!(unknown(&sources(&[], &[("QUOTAGATE_LISTENN", "x")], None)));
    assert!(unknown(&sources(&[], &[], Some("listenn = 1"))));
}

#[test]
fn tls_takes_both_files_and_no_word_against_it() {
    let of = |flags: &[(&'static str, &str)]| Config::from_sources(&sources(flags, &[], None));
    let both = [("tls_cert", "c.pem"), ("tls_key", "k.pem")];

    assert_eq!(of(&[]).unwrap().tls, None);
    assert_eq!(of(&both).unwrap().tls, Some(TlsFiles { cert: "c.pem".into(), key: "k.pem".into() }));
    assert!(of(&both[..1]).unwrap_err().to_string().contains("`tls_cert` is set and `tls_key` is not"));
    assert!(of(&both[1..]).unwrap_err().to_string().contains("`tls_key` is set and `tls_cert` is not"));
    assert_eq!(of(&[both[0], both[1], ("insecure_http", "true")]), Err(ConfigError::TlsAndInsecure));
}

#[test]
fn the_printed_settings_are_a_settings_file_that_means_the_same() {
    let given = sources(&[("data", "/tmp/a \"b\"")], &[], Some("log_format = \"json\""));

    let printed = Config::explain(&given).unwrap();

    let again = Config::from_sources(&sources(&[], &[], Some(&printed))).unwrap();
    assert_eq!(again, Config::from_sources(&given).unwrap());
}
