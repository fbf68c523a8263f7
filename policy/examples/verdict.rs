fn main() {
    let set = rampart_policy::PolicySet::starter();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (cwd, command) = match line.split_once("\t") {
            Some((c, l)) => (Some(c), l),
            None => (None, line.as_str()),
        };
        let d = set.evaluate(&rampart_policy::Call { agent: "a", session: "s", command, cwd });
        println!(
            "{:?} {command}  {:?} {:?}",
            d.action,
            d.because.map(|b| (b.pattern, b.part)),
            d.unparsed
        );
    }
}
