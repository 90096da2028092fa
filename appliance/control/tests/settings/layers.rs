//! Which layer wins, and where a layer's mistake is said to stand.

use spillway_control::settings::{DeviceSettings, Origin, Poll, Settings, Sources, load};
use spillway_lb::model::Scheduler;

use crate::folder::{BASE, Folder, pairs};

fn loaded(sources: &Sources) -> Settings {
    load(sources).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn the_base_that_every_test_breaks_is_whole() {
    let settings = loaded(&Folder::with(BASE).sources());
    assert_eq!(settings.ports.len(), 2);
    assert_eq!(settings.model.services.len(), 2);
}

#[test]
fn a_file_yields_to_conf_d_to_the_environment_and_to_flags() {
    let folder = Folder::with(&BASE.replace("poll = \"busy\"", "flows_max = 2000"));
    let flows_max = |sources: &Sources| loaded(sources).dataplane.flows_max;
    assert_eq!(flows_max(&folder.sources()), 2000);

    folder.write("conf.d/20-more.toml", "[dataplane]\nflows_max = 4000\n");
    folder.write("conf.d/10-less.toml", "[dataplane]\nflows_max = 3000\n");
    folder.write("conf.d/30-not-read.toml.bak", "[dataplane]\nflows_max = 9000\n");
    let mut sources = folder.sources();
    assert_eq!(flows_max(&sources), 4000);

    sources.env = pairs(&[("SPILLWAY__DATAPLANE__FLOWS_MAX", "5000"), ("HOME", "/root")]);
    assert_eq!(flows_max(&sources), 5000);

    sources.overrides = pairs(&[("dataplane.flows_max", "6000"), ("dataplane.flows_max", "7000")]);
    assert_eq!(flows_max(&sources), 7000);
}

#[test]
fn a_later_file_changes_a_port_by_its_name_and_adds_a_service_at_the_end() {
    let folder = Folder::with(BASE);
    folder.write("conf.d/a.toml", "[[port]]\nname = \"front\"\ninterface = \"eth1\"\n");
    folder.write(
        "conf.d/b.toml",
        "[[service]]\nname = \"api\"\nfrontends = [\"172.26.50.110:6443\"]\nbackends = [\"10.0.1.71:6443\"]\n",
    );
    let settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.ports[0].device, DeviceSettings::AfPacket { interface: "eth1".into() });
    assert_eq!(settings.network.ports[0].addresses[0].to_string(), "172.26.50.101/24");
    let names: Vec<&str> =
        settings.model.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["web", "dns", "api"]);
}

#[test]
fn variables_and_flags_address_a_port_or_a_service_by_its_name() {
    let folder = Folder::with(&BASE.replace("\"web\"", "\"shop/web-1\""));
    let sources = Sources {
        env: pairs(&[
            ("SPILLWAY__PORT__FRONT__INTERFACE", "sw-a"),
            ("SPILLWAY__SERVICE__SHOP_WEB_1__SCHEDULER", "maglev"),
            ("SPILLWAY__SERVICE__SHOP_WEB_1__HEALTH__PATH", "/ready"),
        ]),
        overrides: pairs(&[("port.back.interface", "sw-b")]),
        ..folder.sources()
    };
    let settings = loaded(&sources);
    let interfaces: Vec<DeviceSettings> =
        settings.ports.iter().map(|port| port.device.clone()).collect();
    let named = |interface: &str| DeviceSettings::AfPacket { interface: interface.into() };
    assert_eq!(interfaces, [named("sw-a"), named("sw-b")]);
    assert_eq!(settings.model.services[0].scheduler, Scheduler::Maglev);
    let check = settings.model.services[0].checks.first().unwrap();
    assert!(format!("{:?}", check.kind).contains("/ready"), "{check:?}");
}

#[test]
fn untyped_text_is_taken_for_what_its_key_needs() {
    let folder = Folder::with(BASE);
    let sources = Sources {
        env: pairs(&[
            ("SPILLWAY__NAME", "42"),
            ("SPILLWAY__DATAPLANE__WORKER_CORES", "3, 2,1"),
            ("SPILLWAY__PORT__FRONT__PROMISCUOUS", "true"),
            ("SPILLWAY__SNAT__PORTS", "31210-31213"),
        ]),
        overrides: pairs(&[
            ("dataplane.poll", "adaptive"),
            (
                "service.dns.backends",
                r#"[{ address = "10.0.1.80:53", weight = 7 }, "10.0.1.81:53"]"#,
            ),
        ]),
        ..folder.sources()
    };
    let settings = loaded(&sources);
    assert_eq!(settings.name, "42");
    assert_eq!(settings.dataplane.worker_cores, [3, 2, 1]);
    assert_eq!(settings.dataplane.poll, Poll::Adaptive);
    assert!(settings.ports[0].promiscuous);
    assert_eq!(settings.network.snat[0].ports, 31_210..=31_213);
    let weights: Vec<u16> =
        settings.model.services[1].backends.iter().map(|backend| backend.weight).collect();
    assert_eq!(weights, [7, 1]);
}

#[test]
fn a_mistake_in_a_variable_names_the_variable_and_marks_its_value() {
    let folder = Folder::with(BASE);
    let env = pairs(&[("SPILLWAY__DATAPLANE__FLOWS_MAX", "many")]);
    let mistakes = load(&Sources { env, ..folder.sources() }).unwrap_err();
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes}") };
    let variable = "SPILLWAY__DATAPLANE__FLOWS_MAX";
    assert_eq!(mistake.place.origin, Origin::Environment(variable.into()));
    assert_eq!(mistake.source_line, format!("{variable}=many"));
    assert_eq!((mistake.place.column, mistake.place.length), (variable.len() + 2, 4));
    assert_eq!(mistake.message, "dataplane: flows_max: expected an integer, found text");
    let shown = mistakes.to_string();
    assert!(shown.contains("--> environment variable SPILLWAY__DATAPLANE__FLOWS_MAX\n"), "{shown}");
}

#[test]
fn a_mistake_in_toml_inside_a_flag_is_marked_inside_the_flag() {
    let folder = Folder::with(BASE);
    let overrides = pairs(&[("service.web.backends", r#"["10.0.1.71:80", "10.0.1.72:0"]"#)]);
    let mistakes = load(&Sources { overrides, ..folder.sources() }).unwrap_err();
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes}") };
    assert_eq!(mistake.place.origin, Origin::Flag("service.web.backends".into()));
    let marked: String = mistake
        .source_line
        .chars()
        .skip(mistake.place.column - 1)
        .take(mistake.place.length)
        .collect();
    assert_eq!(marked, r#""10.0.1.72:0""#);
}

#[test]
fn a_variable_or_flag_cannot_introduce_a_port_or_service() {
    let folder = Folder::with(BASE);
    let sources = Sources {
        env: pairs(&[("SPILLWAY__PORT__FRNOT__INTERFACE", "eth1")]),
        overrides: pairs(&[("service.wbe.scheduler", "maglev")]),
        ..folder.sources()
    };
    let mistakes = load(&sources).unwrap_err();
    let said: Vec<(&str, Option<&str>)> = mistakes
        .iter()
        .map(|mistake| (mistake.message.as_str(), mistake.help.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("no file has a port \"frnot\"", Some("did you mean `front`?")),
            ("no file has a service \"wbe\"", Some("did you mean `web`?")),
        ]
    );
}

#[test]
fn an_unknown_key_in_a_flag_is_marked_as_that_key() {
    let folder = Folder::with(BASE);
    let overrides = pairs(&[("dataplane.pol", "busy"), ("dataplan.poll", "busy"), ("a..b", "1")]);
    let mistakes = load(&Sources { overrides, ..folder.sources() }).unwrap_err();
    let said: Vec<(&str, usize, usize)> = mistakes
        .iter()
        .map(|mistake| (mistake.message.as_str(), mistake.place.column, mistake.place.length))
        .collect();
    assert_eq!(said, [("flag --set a..b names no key", 1, 4)], "a broken layer is said first");

    let overrides = pairs(&[("dataplane.pol", "busy"), ("dataplan.poll", "busy")]);
    let mistakes = load(&Sources { overrides, ..folder.sources() }).unwrap_err();
    let said: Vec<(&str, usize, usize)> = mistakes
        .iter()
        .map(|mistake| (mistake.message.as_str(), mistake.place.column, mistake.place.length))
        .collect();
    assert_eq!(said, [("dataplane: unknown key `pol`", 11, 3), ("unknown key `dataplan`", 1, 8)]);
}

#[test]
fn a_mistake_stands_in_the_file_that_had_the_last_word() {
    let folder = Folder::with(&BASE.replace("poll = \"busy\"", "poll = \"bussy\""));
    folder.write("conf.d/a.toml", "# a comment\n[dataplane]\npoll = \"lazy\"\n");
    let mistakes = folder.load().unwrap_err();
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes}") };
    assert_eq!(mistake.place.origin, Origin::File(folder.path("conf.d/a.toml")));
    assert_eq!((mistake.place.line, mistake.place.column, mistake.place.length), (3, 8, 6));
}

#[test]
fn syntax_errors_of_all_files_are_reported_one_per_file() {
    let folder = Folder::with(&BASE.replace("poll = \"busy\"", "poll = busy"));
    folder.write("conf.d/a.toml", "[dataplane\n");
    folder.write("conf.d/b.toml", "[dataplane]\npoll = \"busy\"\n");
    let mistakes = folder.load().unwrap_err();
    let origins: Vec<Origin> =
        mistakes.iter().map(|mistake| mistake.place.origin.clone()).collect();
    let files = ["static.toml", "conf.d/a.toml"].map(|name| Origin::File(folder.path(name)));
    assert_eq!(origins, files, "{mistakes}");
}

#[test]
fn a_file_that_is_not_there_is_one_mistake_about_that_file() {
    let folder = Folder::with(BASE);
    let file = folder.path("absent.toml");
    let mistakes = load(&Sources { file: file.clone(), ..folder.sources() }).unwrap_err();
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes}") };
    assert_eq!(mistake.place.origin, Origin::File(file));
    assert!(mistake.message.starts_with("cannot be read: "), "{}", mistake.message);
}
