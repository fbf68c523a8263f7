use super::*;

fn read(set: &[(Variable, &'static str)]) -> Settings<'static> {
    Settings::read(|wanted| {
        set.iter().find(|(variable, _)| *variable == wanted).map(|(_, value)| value.as_bytes())
    })
}

#[test]
fn unset_and_empty_variables_mean_the_defaults() {
    let unset = read(&[]);
    assert_eq!(unset.url, b"http://127.0.0.1:19090");
    assert_eq!(unset.token, None);
    assert_eq!(unset.mode, Mode::Enforce);
    assert!(unset.fail_open && !unset.debug);
    assert_eq!(unset.notice, Notice::Refusals);
    assert_eq!(unset.agent, b"preload");
    assert_eq!(unset.session, None);
    assert_eq!(unset.timeout_ms, 2000);
    assert_eq!(unset.refusal, Refusal::Errno);
    assert_eq!(unset.ask_ms, None);
    assert_eq!(unset.complaints, [None; 5]);
    assert_eq!(read(&Variable::ALL.map(|variable| (variable, ""))), unset);
}

#[test]
fn each_value_means_what_is_documented_and_others_are_reported() {
    for (value, mode, fine) in [
        ("enforce", Mode::Enforce, true),
        ("monitor", Mode::Monitor, true),
        ("disabled", Mode::Disabled, true),
        ("off", Mode::Enforce, false),
        ("Disabled", Mode::Enforce, false),
        ("disabled ", Mode::Enforce, false),
    ] {
        let settings = read(&[(Variable::Mode, value)]);
        assert_eq!((settings.mode, settings.complaints[0].is_none()), (mode, fine), "{value}");
    }
    for (value, open, fine) in
        [("1", true, true), ("0", false, true), ("true", false, false), ("01", false, false)]
    {
        let settings = read(&[(Variable::FailOpen, value)]);
        assert_eq!((settings.fail_open, settings.complaints[1].is_none()), (open, fine));
    }
    for (value, ms, fine) in [
        ("1", 1, true),
        ("600000", 600_000, true),
        ("0", 2000, false),
        ("600001", 2000, false),
        ("5s", 2000, false),
        ("-1", 2000, false),
        ("99999999999999999999", 2000, false),
    ] {
        let settings = read(&[(Variable::TimeoutMs, value)]);
        assert_eq!((settings.timeout_ms, settings.complaints[2].is_none()), (ms, fine));
    }
    for (value, ms, fine) in [
        ("0", None, true),
        ("1", Some(1), true),
        ("86400000", Some(86_400_000), true),
        ("86400001", None, false),
        ("5m", None, false),
        ("-1", None, false),
    ] {
        let settings = read(&[(Variable::AskMs, value)]);
        assert_eq!((settings.ask_ms, settings.complaints[4].is_none()), (ms, fine), "{value}");
    }
    for (value, refusal, fine) in [
        ("errno", Refusal::Errno, true),
        ("shell", Refusal::Shell, true),
        ("message", Refusal::Message, true),
        ("Shell", Refusal::Errno, false),
        ("1", Refusal::Errno, false),
    ] {
        let settings = read(&[(Variable::Refusal, value)]);
        assert_eq!((settings.refusal, settings.complaints[3].is_none()), (refusal, fine));
        assert!(!fine || refusal.as_str() == value);
    }
    assert!(read(&[(Variable::Debug, "1")]).debug);
    assert!(!read(&[(Variable::Debug, "0")]).debug);
    for (value, notice) in [("0", Notice::Nothing), ("1", Notice::Everything)] {
        assert_eq!(read(&[(Variable::Notice, value)]).notice, notice);
        assert_eq!(notice.value(), Some(value.as_bytes()));
    }
}

#[test]
fn all_names_begin_with_the_prefix_and_stand_at_their_discriminant() {
    for (index, variable) in Variable::ALL.into_iter().enumerate() {
        assert_eq!(variable as usize, index);
        assert!(variable.name().to_bytes().starts_with(Variable::PREFIX));
    }
}
