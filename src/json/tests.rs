use super::*;

fn read(body: &[u8]) -> Result<bool, Fault> {
    let mut reader = Reader::default();
    reader.feed(body)?;
    reader.finish()
}

#[test]
fn an_object_with_one_boolean_allowed_is_a_verdict() {
    for (body, allowed) in [
        (r#"{"allowed":true}"#, true),
        (r#"{"allowed":false}"#, false),
        (" \r\n\t{ \"allowed\" : true } \n", true),
        (r#"{"a":[1,-0.5e+3,{"allowed":false}],"allowed":true}"#, true),
        (r#"{"allowed":false,"x":{"allowed":true},"y":["allowed",true]}"#, false),
        (r#"{"allow\u0065d":true}"#, true),
        (r#"{"\u0061llowed":false,"e":"😀\ud83d\ude00é"}"#, false),
        (r#"{"message":"allowed","allowed":true,"allowed ":false}"#, true),
        (r#"{"e":{},"f":[],"n":null,"z":0,"allowed":true}"#, true),
    ] {
        assert_eq!(read(body.as_bytes()), Ok(allowed), "{body}");
    }
}

#[test]
fn anything_else_is_not_a_verdict() {
    let deep = format!("{{\"a\":{}1{},\"allowed\":true}}", "[".repeat(127), "]".repeat(127));
    for body in [
        "",
        " ",
        "true",
        "[]",
        "null",
        r#""allowed""#,
        "{}",
        r#"{"allowed":1}"#,
        r#"{"allowed":"true"}"#,
        r#"{"allowed":null}"#,
        r#"{"allowed":[true]}"#,
        r#"{"allowed":{}}"#,
        r#"{"Allowed":true}"#,
        r#"{"allowed":true,"allowed":true}"#,
        r#"{"allowed":true,"allow\u0065d":false}"#,
        r#"{"allowed":true"#,
        r#"{"allowed":tru}"#,
        r#"{"allowed":truex}"#,
        r#"{"allowed":true}}"#,
        r#"{"allowed":true}{"allowed":true}"#,
        r#"{"allowed":true} x"#,
        r#"{"allowed":true,}"#,
        r#"{,"allowed":true}"#,
        r#"{"allowed" true}"#,
        r"{allowed:true}",
        r"{'allowed':true}",
        r#"{"a":[1,],"allowed":true}"#,
        r#"{"a":[1},"allowed":true}"#,
        r#"{"a":01,"allowed":true}"#,
        r#"{"a":1.,"allowed":true}"#,
        r#"{"a":+1,"allowed":true}"#,
        r#"{"a":.5,"allowed":true}"#,
        r#"{"a":1e,"allowed":true}"#,
        r#"{"a":"\x","allowed":true}"#,
        r#"{"a":"\ud800","allowed":true}"#,
        r#"{"a":"\udc00","allowed":true}"#,
        r#"{"a":"\ud800\u0041","allowed":true}"#,
        r#"{"a":"\u12g4","allowed":true}"#,
        "{\"a\":\"\n\",\"allowed\":true}",
        "\u{feff}{\"allowed\":true}",
        &deep,
    ] {
        assert!(read(body.as_bytes()).is_err(), "{body}");
    }
    for bytes in [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
        let body = [b"{\"allowed\":true,\"a\":\"", bytes, b"\"}"].concat();
        assert!(read(&body).is_err(), "{bytes:?}");
    }
}

#[test]
fn message_first_policy_and_first_suggestion_are_kept_up_to_a_limit() {
    let long = "x".repeat(300);
    let body = format!(
        r#"{{"message":"no \"rm\"\u00e9\n","matched_policies":["a\/b","c"],"allowed":false,"suggestions":["s","t"],"m":"{long}"}}"#
    );
    let mut reader = Reader::default();
    reader.feed(body.as_bytes()).expect("JSON");
    assert_eq!(reader.answer().message.as_bytes(), "no \"rm\"é\n".as_bytes());
    assert_eq!(reader.answer().policy.as_bytes(), b"a/b");
    assert_eq!(reader.answer().suggestion.as_bytes(), b"s");
    let mut reader = Reader::default();
    let body = format!(r#"{{"message":"{long}","matched_policies":[],"allowed":true}}"#);
    reader.feed(body.as_bytes()).expect("JSON");
    assert_eq!(reader.answer().message.as_bytes(), &long.as_bytes()[..200]);
    assert_eq!(reader.answer().policy.as_bytes(), b"");
}

#[test]
fn serde_json_agrees_on_every_mutation_of_an_answer() {
    let seed = r#"{"allowed":true,"a":[1,-2.5e3,"\ud83d\ude00é\n",{"b":null}],"message":"m"}"#;
    let bytes = seed.as_bytes();
    for position in 0..bytes.len() {
        for replacement in *b"\"\\{}[],:0-.eu1t \x00\x80\xc3" {
            let mut body = bytes.to_vec();
            body[position] = replacement;
            let theirs: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let theirs = theirs.and_then(|value| value.get("allowed")?.as_bool());
            assert_eq!(read(&body).ok(), theirs, "{}", String::from_utf8_lossy(&body));
        }
    }
}
