//! Whatever is in a file, it is either read or refused with places that exist.

use proptest::prelude::*;

use crate::folder::{BASE, Folder};

/// What editors, merges and slips leave behind.
fn debris() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\n[[port]]\n".to_owned()),
        Just("\n[service]\n".to_owned()),
        Just("name = ".to_owned()),
        Just("\"\"\"".to_owned()),
        Just("= {".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("\"ä\\u0000\\n\"".to_owned()),
        "[ -~\n]{0,12}",
        "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_read_or_every_mistake_has_a_place_in_it(
        from in any::<prop::sample::Index>(),
        length in 0..40_usize,
        debris in debris(),
    ) {
        let from = from.index(BASE.len());
        let to = (from + length).min(BASE.len());
        let text = format!("{}{debris}{}", &BASE[..from], &BASE[to..]);
        if let Err(mistakes) = Folder::with(&text).load() {
            prop_assert!(!mistakes.as_slice().is_empty());
            for mistake in &mistakes {
                let place = &mistake.place;
                if place.line == 0 {
                    prop_assert_eq!((place.column, place.length), (0, 0));
                    continue;
                }
                let line = text.lines().nth(place.line - 1).unwrap_or_default();
                prop_assert_eq!(&mistake.source_line, line);
                let characters = line.chars().count();
                // One behind the last character, where something is missing.
                prop_assert!((1..=characters + 1).contains(&place.column), "{}", mistake);
                let end = place.column + place.length - 1;
                prop_assert!(place.length >= 1 && end <= characters.max(place.column), "{}", mistake);
                prop_assert_eq!(mistake.message.lines().count(), 1);
            }
        }
    }
}
