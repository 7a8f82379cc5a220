use super::super::tests::{error, eval};

/// The JSON of what a JSON text means.
fn again(json: &str) -> String {
    eval(&format!(
        "return cjson.encode(cjson.decode([==[{json}]==]))"
    ))
}

fn refusal(json: &str) -> String {
    error(&format!("cjson.decode([==[{json}]==])"))
}

#[test]
fn a_table_is_an_array_if_its_keys_are_indices_else_an_object() {
    assert_eq!(
        eval("return cjson.encode({1, 'a', true, false, cjson.null})"),
        r#"[1,"a",true,false,null]"#
    );
    assert_eq!(eval("return cjson.encode({a = {}})"), r#"{"a":{}}"#);
    assert_eq!(
        eval("return cjson.encode({[1] = 1, [3] = 3})"),
        "[1,null,3]"
    );
    assert_eq!(eval("return cjson.encode({[0] = 1})"), r#"{"0":1}"#);
    assert_eq!(eval("return cjson.encode({[1.5] = 1})"), r#"{"1.5":1}"#);
    assert_eq!(
        eval("return cjson.encode({[2^40] = 1})"),
        r#"{"1099511627776":1}"#
    );
    assert_eq!(eval("return cjson.encode(nil)"), "null");
}

#[test]
fn a_text_is_escaped_byte_by_byte() {
    assert_eq!(
        eval(r#"return cjson.encode('a"b\\c/d\8\9\10\12\13\0\31\127\128\255é')"#),
        "\"a\\\"b\\\\c\\/d\\b\\t\\n\\f\\r\\u0000\\u001f\\u007f\u{80}\u{ff}\u{c3}\u{a9}\""
    );
}

#[test]
fn escapes_are_characters_in_utf_8() {
    assert_eq!(
        eval(r#"return cjson.decode('"\\u0041\\u00e9\\u20ac"')"#),
        "A\u{c3}\u{a9}\u{e2}\u{82}\u{ac}"
    );
    assert_eq!(
        eval(r#"return cjson.decode('"\\ud83d\\uDE00"')"#),
        "\u{f0}\u{9f}\u{98}\u{80}"
    );
    assert_eq!(
        eval(r#"return cjson.decode('"\\"\\\\\\/\\b\\t\\n\\f\\r"')"#),
        "\"\\/\x08\t\n\x0c\r"
    );
    for bad in [
        r"\ud83d",
        r"\ude00",
        r"\ud83dx",
        r"\ud83d\u0041",
        r"\u12g4",
        r"\u12",
    ] {
        assert_eq!(
            refusal(&format!("\"{bad}\"")),
            "script:1: Expected value but found invalid unicode escape code at character 2",
            "{bad}"
        );
    }
    assert_eq!(
        refusal(r#""ab\x""#),
        "script:1: Expected value but found invalid escape code at character 4"
    );
}

#[test]
fn what_is_decoded_is_encoded_again() {
    for json in [
        r#"{"a":{"b":[1,2,{"c":"d"}]}}"#,
        r#"[[1],[2,[3]],"x",null,true,false,-1.5,1e+20]"#,
        "[[[{}]]]",
        r#""text""#,
        "17",
    ] {
        assert_eq!(again(json), json);
    }
    assert_eq!(
        again(" [ 1 ,\t2 , { \"a\" :\n3 } ]\r\n"),
        r#"[1,2,{"a":3}]"#
    );
    assert_eq!(again(r#"{"a":1,"a":2}"#), r#"{"a":2}"#);
    assert_eq!(eval("return cjson.decode('12\\0x')"), "12");
    assert_eq!(eval("return cjson.decode(12)"), "12");
}

#[test]
fn what_is_found_in_the_place_of_what_was_expected_is_told() {
    for (json, told) in [
        ("", "value but found T_END at character 1"),
        ("x", "value but found invalid token at character 1"),
        ("nul", "value but found invalid token at character 1"),
        ("[1,]", "value but found T_ARR_END at character 4"),
        ("[1", "comma or array end but found T_END at character 3"),
        (
            "[1 2]",
            "comma or array end but found T_NUMBER at character 4",
        ),
        ("{", "object key string but found T_END at character 2"),
        (
            "{1:2}",
            "object key string but found T_NUMBER at character 2",
        ),
        (r#"{"a" 1}"#, "colon but found T_NUMBER at character 6"),
        (r#"{"a":}"#, "value but found T_OBJ_END at character 6"),
        (
            r#"{"a":1]"#,
            "comma or object end but found T_ARR_END at character 7",
        ),
        (
            r#"{"a":1,}"#,
            "object key string but found T_OBJ_END at character 8",
        ),
        ("1 true", "the end but found T_BOOLEAN at character 3"),
        ("1e", "the end but found invalid token at character 2"),
        ("-", "value but found invalid number at character 1"),
        (
            r#""abc"#,
            "value but found unexpected end of string at character 5",
        ),
    ] {
        assert_eq!(
            refusal(json),
            format!("script:1: Expected {told}"),
            "{json}"
        );
    }
    assert_eq!(
        error("cjson.decode('[\\0')"),
        "script:1: JSON parser does not support UTF-16 or UTF-32"
    );
}

#[test]
fn a_wrong_number_of_arguments_is_told_with_the_name_and_place_of_the_call() {
    assert_eq!(
        error("local x = 1\nreturn cjson.encode()"),
        "script:2: bad argument #1 to 'encode' (expected 1 argument)"
    );
    assert_eq!(
        error("cjson.decode({})"),
        "script:1: bad argument #1 to 'decode' (string expected, got table)"
    );
    assert_eq!(
        error("cjson.encode_sparse_array(1, 2, 3, 4)"),
        "script:1: bad argument #4 to 'encode_sparse_array' (found too many arguments)"
    );
    assert_eq!(
        eval("local ok, e = pcall(cjson.encode) return e"),
        "bad argument #1 to '?' (expected 1 argument)"
    );
}

#[test]
fn what_has_no_form_in_json_is_refused() {
    assert_eq!(
        error("cjson.encode(print)"),
        "script:1: Cannot serialise function: type not supported"
    );
    assert_eq!(
        error("cjson.encode({[true] = 1})"),
        "script:1: Cannot serialise boolean: table key must be a number or string"
    );
    assert_eq!(
        error("cjson.encode(1/0)"),
        "script:1: Cannot serialise number: must not be NaN or Inf"
    );
    assert_eq!(
        error("cjson.encode({[1] = 1, [100] = 1})"),
        "script:1: Cannot serialise table: excessively sparse array"
    );
}

#[test]
fn nesting_is_bounded_by_its_settings_and_by_the_stack_that_it_would_take() {
    let nested = "local t = {} for i = 1, N do t = WRAP end return cjson.encode(t)";
    let array = nested.replace("WRAP", "{t}");
    let object = nested.replace("WRAP", "{a = t}");
    assert_eq!(eval(&array.replace('N', "999")).len(), 2000);
    assert_eq!(
        error(&array.replace('N', "1000")),
        "script:1: Cannot serialise, excessive nesting (1001)"
    );
    let unbounded = "cjson.encode_max_depth(1000000) cjson.decode_max_depth(1000000) ";
    assert_eq!(
        error(&(unbounded.to_string() + &array.replace('N', "9000"))),
        "script:1: Cannot serialise, excessive nesting (7998)"
    );
    assert_eq!(
        error(&(unbounded.to_string() + &object.replace('N', "9000"))),
        "script:1: Cannot serialise, excessive nesting (4000)"
    );
    assert_eq!(
        error("cjson.decode(('['):rep(1001))"),
        "script:1: Found too many nested data structures (1001) at character 1001"
    );
    assert_eq!(
        error(&format!("{unbounded} cjson.decode(('['):rep(1000000))")),
        "script:1: Found too many nested data structures (7999) at character 7999"
    );
    let deep = "local t = cjson.decode(('['):rep(7998) .. (']'):rep(7998)) \
                local n = 0 while t do t = t[1] n = n + 1 end return n";
    assert_eq!(eval(&format!("{unbounded} {deep}")), "7998");
}

#[test]
fn siblings_do_not_count_as_nesting() {
    for (sibling, json) in [
        ("{a = {i}}", r#"{"a":[1]},"#),
        ("{{a = i}}", r#"[{"a":1}],"#),
    ] {
        let script = format!("local t = {{}} for i = 1, 9000 do t[i] = {sibling} end");
        let encoded = eval(&format!("{script} return cjson.encode(t)"));
        assert_eq!(&encoded[1..=json.len()], json);
        let length = "return #cjson.decode(cjson.encode(t)) + \
            #cmsgpack.unpack(cmsgpack.pack(t))";
        assert_eq!(eval(&format!("{script} {length}")), "18000");
    }
}

#[test]
fn settings_are_kept_and_are_those_of_one_module_table() {
    assert_eq!(
        eval("cjson.encode_sparse_array(true, 3, 4) cjson.encode_sparse_array(nil, 5)
            local other = cjson.new()
            return cjson.encode({cjson.encode_sparse_array()}) .. other.encode({other.encode_sparse_array()})"),
        "[true,5,4][false,2,10]"
    );
    assert_eq!(
        eval("cjson.encode_sparse_array('on') return cjson.encode({[1] = 1, [100] = 1})"),
        r#"{"1":1,"100":1}"#
    );
    assert_eq!(
        eval("cjson.encode_number_precision('3') return cjson.encode(1/3)"),
        "0.333"
    );
    assert_eq!(
        eval("cjson.encode_invalid_numbers('null') return cjson.encode({1/0, 0/0})"),
        "[null,null]"
    );
    assert_eq!(
        eval("cjson.encode_invalid_numbers(true) return cjson.encode({-1/0, 0/0})"),
        "[-inf,nan]"
    );
    assert_eq!(
        eval("return cjson.encode({cjson.encode_invalid_numbers(), cjson.encode_invalid_numbers('null'),
            cjson.encode_keep_buffer(), cjson.encode_max_depth(5), cjson.decode_max_depth()})"),
        r#"[false,"null",true,5,1000]"#
    );
}

#[test]
fn numbers_beyond_json_are_read_unless_that_is_turned_off() {
    assert_eq!(again("[0x10,+5,007,-.5]"), "[16,5,7,-0.5]");
    assert_eq!(eval("return tostring(cjson.decode('-Infinity'))"), "-inf");
    for number in ["0x10", "007", "-inf", "-nan"] {
        assert_eq!(
            error(&format!(
                "cjson.decode_invalid_numbers(false) cjson.decode('{number}')"
            )),
            "script:1: Expected value but found invalid number at character 1"
        );
    }
    assert_eq!(
        error("cjson.decode_invalid_numbers('off') cjson.decode('+5')"),
        "script:1: Expected value but found invalid token at character 1"
    );
}

#[test]
fn a_bad_setting_is_told_of_and_changes_nothing() {
    assert_eq!(
        error("cjson.encode_sparse_array(nil, -1)"),
        "script:1: bad argument #1 to 'encode_sparse_array' \
         (expected integer between 0 and 2147483647)"
    );
    assert_eq!(
        error("cjson.encode_invalid_numbers('maybe')"),
        "script:1: bad argument #1 to 'encode_invalid_numbers' (invalid option 'maybe')"
    );
    assert_eq!(
        eval("pcall(cjson.encode_number_precision, 15) return cjson.encode_number_precision()"),
        "14"
    );
}

#[test]
fn a_table_that_holds_itself_many_times_over_ends_at_the_longest_output() {
    assert_eq!(
        error("local t = ('x'):rep(1024) for i = 1, 30 do t = {t, t} end cjson.encode(t)"),
        "not enough memory"
    );
}

#[test]
fn the_module_says_what_it_is() {
    assert_eq!(
        eval("return cjson._NAME .. cjson._VERSION .. tostring(cjson.null)"),
        "cjson2.1.0userdata: (nil)"
    );
}
