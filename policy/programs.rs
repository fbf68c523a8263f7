//! The table of commands: what each program is, runs and does. A new program is a line.
//!
//! `p("NAME|NAME")` begins a line; a name of two words is a program and its subcommand.
//!
//! `.takes("…")` lists the options that take a value, each by its letter or its long name. A sign
//! behind one says what the value is: `<` a file that is read, `>` one that is written, `x` one
//! that is deleted, `@` data, of which `@FILE` is read, `^` a URL, `$` a shell script that is run,
//! `&` the first word of a command that is run, `*` the program of the words behind the operands,
//! `!` something that changes what runs, `:` such a setting, which may name a command. An option
//! with `?` takes none, and makes the program tell instead of do; one with `=` is behind one that
//! takes two; `.` takes none and changes nothing that matters, one with `~` none and makes it
//! another thing.
//!
//! `.does(…)` says what the operands are, `.runs(…)` that they are run. `.only_runs(…)` is
//! for what changes neither who nor where nor what, so that it needs no permission of its own;
//! `.elsewhere()` for what runs things where other files are, in a container or on another machine.
//! `.global()` says that the options stand before a subcommand, whose name is what matters.
//! `.style("…")` gives the options a normal spelling, by which all who write them otherwise are
//! compared: `NAME=LETTER` is the same as that letter, a name alone changes nothing that matters.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{LazyLock, OnceLock};

/// Values by a name of the table. Each word of a command is looked up, several times.
type Names<V> = HashMap<&'static str, V, BuildHasherDefault<Fnv>>;

/// FNV-1a, for short names: they are the table's own, so that nobody can make them collide.
#[derive(Default)]
pub(crate) struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The map takes its first look at the highest bits, which the last bytes hardly reach.
        self.0 ^ self.0.rotate_left(32)
    }
}

/// What is done to a file, or with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verb {
    Read,
    Write,
    Delete,
    /// What is in the file goes to another machine.
    Send,
    Fetch,
    /// Code that came from there is run.
    Run,
}

/// A set of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Verbs(u8);

impl Verbs {
    pub(crate) fn add(&mut self, verb: Verb) {
        self.0 |= 1 << verb as u8;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn holds(self, verb: Verb) -> bool {
        self.meets([verb].into_iter().collect())
    }

    pub(crate) fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<T: IntoIterator<Item = Verb>>(verbs: T) -> Self {
        let mut all = Self::default();
        verbs.into_iter().for_each(|verb| all.add(verb));
        all
    }
}

/// What the operands of a program are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    /// No files, as far as is known.
    Other,
    /// Each by itself.
    Each(Verb),
    /// Each is read and written.
    Edited,
    /// Each is read with `-n` or `-p`, and with `-i` written as well (`perl -pi -e … FILE`).
    Filtered,
    /// Each behind the first, which says what to do (`chmod MODE FILE…`, `grep PATTERN FILE…`)
    /// and may be given by an option that takes a value with a `%`.
    AfterFirst(Verb),
    /// Each before the last is read, or deleted as well; the last is written.
    To { gone: bool },
    /// Starting points before the first test (`find DIR… -name x`).
    Find,
    /// `key=value` (`dd if=F of=F`), with the keys among the options.
    Keys,
    /// Files, `host:file` or URLs; the last is where they go.
    Transfer,
    /// The first is an archive's file only by its option; the others are read.
    Archive,
}

/// What a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Nothing, but by its options.
    Nothing,
    /// The command behind so many operands of its own.
    Command(usize),
    /// What is behind so many operands, as one shell line.
    Line(usize),
    /// The shell script that its operands are, in this very shell.
    Here,
    /// The script of its first operand, another time (`trap`).
    Script,
    /// A script by `-c`, else a file, else its standard input.
    Shell,
    /// A script on its standard input, some time later.
    Input,
    /// The same, in a language that is not read here.
    Interpreter,
    /// What the program that is its first operand hands to a shell.
    Awk,
    /// The file of its first operand, in this very shell.
    File,
    /// A shell as somebody else: by an option, or by its standard input.
    Login,
    /// What stands behind one of these words and so many operands.
    After(&'static str, usize),
    /// What stands behind `-exec` and the like, up to `;` or `+`.
    Find,
    /// The program of the first operand is this very program (`busybox rm`).
    Multi,
}

/// How a program's options are written in normal spelling: what stands for each that is listed,
/// nothing for one that changes nothing about what is done to which file.
pub(crate) type Style = Vec<(&'static str, Option<char>)>;

const RM: &str = "recursive=r force=f R=r v i d I x P W verbose dir interactive one-file-system no-preserve-root preserve-root";
const CHMOD: &str = "recursive=R c f v H L P changes silent quiet verbose preserve-root no-preserve-root dereference";
/// The options of those that run something in a container, before it and behind `compose`.
const CONTAINER: &str = "a add-host annotation arch attach authfile blkio-weight c cap-add cap-drop cgroup-parent \
    cgroupns cidfile cpu-period cpu-quota cpu-shares cpus cpuset-cpus cpuset-mems creds detach-keys device dns \
    dns-option dns-search domainname e entrypoint* env env-file expose f! file! gidmap gpus group-add h health-cmd \
    health-interval health-retries health-start-period health-timeout hostname index ip ip6 ipc isolation l label \
    label-file link log-driver log-opt m mac-address memory memory-swap mount name net network network-alias \
    oom-score-adj os p pid pidfile pids-limit platform pod profile project-directory! project-name publish pull \
    restart runtime secret security-opt shm-size stop-signal stop-timeout storage-opt sysctl systemd timeout tmpfs \
    tz u uidmap ulimit umask user userns uts v volume volume-driver volumes-from w workdir";
const CP: &str = "recursive=r force=f archive=a R=r v i n u verbose interactive no-clobber update";

/// A line of the table.
#[expect(clippy::struct_excessive_bools, reason = "each is said by itself in a line")]
#[derive(Debug)]
pub(crate) struct Program {
    names: &'static str,
    /// The options that are listed.
    listed: &'static str,
    /// The same with the sign behind each, once one is looked up: most programs never are.
    options: OnceLock<Names<char>>,
    /// The signs that any has, a bit each.
    signs: u128,
    pub(crate) does: Operands,
    pub(crate) runs: Runs,
    pub(crate) transparent: bool,
    pub(crate) assignments: bool,
    pub(crate) global: bool,
    /// Without a command it runs the shell script on its standard input.
    pub(crate) else_input: bool,
    /// Its output is what it has fetched; no longer where one of these options is there.
    pub(crate) fetches: Option<&'static str>,
    /// What it is given to read goes to another machine.
    pub(crate) sends: bool,
    /// What it runs is a package's program, or stands in a project's environment.
    pub(crate) packages: bool,
    /// What it runs has other files than this machine's.
    pub(crate) elsewhere: bool,
    /// Its output is code in disguise where one of these options is there.
    pub(crate) decodes: Option<&'static str>,
    pub(crate) style: Option<Style>,
}

fn p(names: &'static str) -> Program {
    Program {
        names,
        listed: "",
        options: OnceLock::new(),
        signs: 0,
        does: Operands::Other,
        runs: Runs::Nothing,
        transparent: false,
        assignments: false,
        global: false,
        else_input: false,
        fetches: None,
        sends: false,
        packages: false,
        elsewhere: false,
        decodes: None,
        style: None,
    }
}

/// The options of a list, with the sign behind each.
fn signed(options: &'static str) -> impl Iterator<Item = (&'static str, char)> {
    options.split_whitespace().map(|item| match item.char_indices().next_back() {
        Some((at @ 1.., sign)) if !sign.is_ascii_alphanumeric() => (&item[..at], sign),
        _ => (item, ' '),
    })
}

impl Program {
    fn takes(mut self, options: &'static str) -> Self {
        self.listed = options;
        self.signs = signed(options).fold(0, |signs, (_, sign)| signs | 1 << (sign as u32));
        self
    }
    /// The sign behind an option that is listed; a blank where it has none.
    pub(crate) fn sign(&self, option: &str) -> Option<char> {
        self.options.get_or_init(|| signed(self.listed).collect()).get(option).copied()
    }
    /// Whether an option has one of these signs.
    pub(crate) fn has_signs(&self, signs: &[u8]) -> bool {
        signs.iter().any(|sign| self.signs >> sign & 1 == 1)
    }
    fn does(mut self, does: Operands) -> Self {
        self.does = does;
        self
    }
    fn runs(mut self, runs: Runs) -> Self {
        self.runs = runs;
        self
    }
    fn only_runs(mut self, runs: Runs) -> Self {
        self.transparent = true;
        self.runs = runs;
        self
    }
    /// `NAME=value` may stand before the command.
    fn assigns(mut self) -> Self {
        self.assignments = true;
        self
    }
    fn global(mut self) -> Self {
        self.global = true;
        self
    }
    fn else_input(mut self) -> Self {
        self.else_input = true;
        self
    }
    fn fetches(mut self, unless: &'static str) -> Self {
        self.fetches = Some(unless);
        self
    }
    fn sends(mut self) -> Self {
        self.sends = true;
        self
    }
    fn packages(mut self) -> Self {
        self.packages = true;
        self
    }
    fn elsewhere(mut self) -> Self {
        self.elsewhere = true;
        self
    }
    fn decodes(mut self, with: &'static str) -> Self {
        self.decodes = Some(with);
        self
    }
    fn style(mut self, options: &'static str) -> Self {
        let read = |item: &'static str| match item.split_once('=') {
            Some((name, letter)) => (name, letter.chars().next()),
            None => (item, None),
        };
        self.style = Some(options.split_whitespace().map(read).collect());
        self
    }
}

use Operands::{AfterFirst, Archive, Each, Find, Keys, To, Transfer};
use Verb::{Delete, Fetch, Read, Write};

static TABLE: LazyLock<Vec<Program>> = LazyLock::new(|| {
    vec![
    // What only runs what it is given.
    p("nohup|setsid").takes("c. w. f. ctty. wait. fork.").only_runs(Runs::Command(0)),
    p("command").takes("v? V? p.").only_runs(Runs::Command(0)),
    p("exec").takes("a c. l.").only_runs(Runs::Command(0)),
    p("env|genv").takes("u C a P unset chdir argv0 S$ split-string$ i. 0. v. ignore-environment. null.").only_runs(Runs::Command(0)).assigns(),
    p("nice|gnice").takes("n adjustment").only_runs(Runs::Command(0)),
    p("timeout|gtimeout").takes("s k signal kill-after foreground. preserve-status. v. verbose. f. p.").only_runs(Runs::Command(1)),
    p("stdbuf|gstdbuf").takes("i o e input output error").only_runs(Runs::Command(0)),
    p("time|gtime").takes("f o> format output> p. v. a. append. verbose. portability. q. quiet.").only_runs(Runs::Command(0)),
    p("sh|bash|dash|ash|zsh|ksh").takes("o O rcfile< init-file<").only_runs(Runs::Shell),
    // The same to a rule that restricts. That they need no permission is known to us alone, so they do.
    p("catchsegv|unbuffer|noglob|nocorrect|chronic|eatmydata|linux64|linux32|dumb-init|tini|caffeinate|ts|dotenv|env-cmd|systemd-inhibit|builtin").takes("c. w. f. e what who why mode").runs(Runs::Command(0)),
    p("cross-env").runs(Runs::Command(0)).assigns(),
    p("ionice").takes("t. ignore. c n p P u class classdata pid pgid uid").runs(Runs::Command(0)),
    p("chrt").takes("p T P D").runs(Runs::Command(1)),
    p("taskset").takes("p? pid?").runs(Runs::Command(1)),
    p("ksh93|mksh|pdksh|yash|posh|rbash|fish|csh|tcsh").takes("o O C rcfile< init-file< init-command$").runs(Runs::Shell),
    // What changes who or where, or gives other words.
    p("sudo|sudo-rs|dzdo").takes("u g p C c h r t R T U D user group prompt close-from chdir host role type chroot other-user command-timeout l? list? e< edit<").runs(Runs::Command(0)).assigns(),
    p("sudoedit").takes("u g p C c h r t R T U D").does(Each(Write)),
    p("doas").takes("u C a").runs(Runs::Command(0)).assigns(),
    p("pkexec").takes("user").runs(Runs::Command(0)),
    p("fakeroot|rlwrap|choom|cgexec|run0|ssh-agent|proxychains|proxychains4|torsocks|torify|tsocks|dbus-run-session|setpriv|prlimit|numactl|capsh|firejail|dbus-launch|xvfb-run|catatonit|s6-setuidgid|with-contenv").takes("g s f i l n").runs(Runs::Command(0)),
    p("chroot|setarch|direnv exec").takes("userspec groups e o p c").runs(Runs::Command(1)),
    p("unshare|nsenter").takes("S G R w t l C setuid setgid root wd target map-user map-group propagation").runs(Runs::Command(0)),
    p("strace|ltrace|perf|valgrind").takes("e o> O p P s u a b I E S n l x output> trace attach user string-limit").runs(Runs::Command(0)),
    // What Bear's library makes of each command is `wrapper … --execute FILE -- COMMAND`.
    p("bear|wrapper").takes("o> output> destination execute").runs(Runs::Command(0)),
    p("faketime").takes("f. m.").runs(Runs::Command(1)),
    p("watch|concurrently|nodemon").takes("x. n q interval equexit exec$").runs(Runs::Line(0)),
    p("xargs|gxargs").takes("I n L P s d E a< J R S replace max-args max-lines max-procs max-chars delimiter arg-file<").runs(Runs::Command(0)),
    p("parallel").takes("j S N n L a< I C d jobs sshlogin arg-file< colsep delay joblog> results> timeout").runs(Runs::Line(0)),
    p("su").takes("g u G s! T w group user supp-group shell! whitelist-environment c$ command$ session-command$").runs(Runs::Login),
    p("runuser").takes("g u G s! T w group user supp-group shell! whitelist-environment c$ command$ session-command$").runs(Runs::After("--", 0)),
    p("sg").takes("c$").runs(Runs::Line(1)),
    p("script").takes("E I B O T m o echo log-in log-out> log-io> log-timing> c$ command$").does(Each(Write)),
    p("flock").takes("w E c$ command$ timeout conflict-exit-code").runs(Runs::Command(1)),
    p("cmd|cmd.exe").runs(Runs::Line(1)),
    p("pwsh|powershell|pwsh.exe|powershell.exe").takes("Command$ command$ c$ Version? version? Help? help? h? File< f< ExecutionPolicy ep WorkingDirectory wd OutputFormat InputFormat ConfigurationName").runs(Runs::Nothing),
    p("gosu|su-exec|setuidgid|chpst").takes("u").runs(Runs::Command(1)),
    p("systemd-run").takes("M H p u E unit property setenv uid gid slice working-directory").runs(Runs::Command(0)),
    p("ld-linux.so").takes("library-path preload! audit! argv0 inhibit-rpath glibc-hwcaps-prepend verify? list? help? version?").runs(Runs::Command(0)),
    p("ssh").takes("b c D E> e F i I J L l m O o: p Q R S W w").runs(Runs::Line(1)).else_input(),
    p("bwrap").takes("args argv0 userns userns2 pidns uid gid hostname chdir setenv= unsetenv lock-file sync-fd bind= bind-try= dev-bind= dev-bind-try= ro-bind= ro-bind-try= remount-ro proc dev tmpfs mqueue dir file= bind-data= ro-bind-data= symlink= seccomp add-seccomp-fd perms size chmod= cap-add cap-drop exec-label file-label overlay-src overlay tmp-overlay ro-overlay block-fd userns-block-fd info-fd json-status-fd").runs(Runs::Command(0)),
    p("tmux").takes("c f L S T").global(),
    p("tmux new|tmux new-session|tmux new-window|tmux neww|tmux split-window|tmux splitw|tmux respawn-pane|tmux popup|tmux run-shell|tmux run").takes("c e F n s t x y l").runs(Runs::Line(0)),
    p("tmux send-keys|tmux send").takes("t N").runs(Runs::Line(0)),
    p("dtach|abduco").takes("n A c a N e r").runs(Runs::Command(0)),
    // What has other files than this machine's: in containers and on other machines.
    p("docker exec|podman exec|nerdctl exec|oc rsh").takes("c container e env env-file u user w workdir detach-keys timeout shell").runs(Runs::Command(1)).elsewhere(),
    p("docker cp|podman cp|nerdctl cp|kubectl cp|oc cp").takes("c container").does(Transfer).elsewhere(),
    p("docker run|podman run|nerdctl run").takes(CONTAINER).runs(Runs::Command(1)).elsewhere(),
    p("docker container|podman container|nerdctl container|docker compose|podman compose|nerdctl compose|docker-compose|podman-compose").takes(CONTAINER).runs(Runs::After("exec|run", 1)).global().elsewhere(),
    p("kubectl exec|kubectl run|kubectl debug|oc exec|oc run|oc debug|colima ssh").runs(Runs::After("--", 0)).elsewhere(),
    p("lxc exec|incus exec|pct exec|crictl exec|multipass exec|limactl shell|buildah run").takes("e env u user g group cwd mode w workdir workdirectory").runs(Runs::Command(1)).elsewhere(),
    p("lxc-attach").takes("n name P lxcpath a arch s namespaces f rcfile u uid g gid v set-var keep-var").runs(Runs::Command(0)).elsewhere(),
    p("vagrant ssh|fly ssh|flyctl ssh|gcloud compute").takes("c$ C$ command$ a app zone project ssh-key-file").elsewhere(),
    p("ansible").takes("a$ args$ m module-name i inventory u user f forks l limit e extra-vars").elsewhere(),
    p("adb").takes("s t H P L").global(),
    p("adb shell|minikube ssh").takes("e n node p profile").runs(Runs::Line(0)).elsewhere(),
    p("flatpak-spawn|distrobox-host-exec").takes("directory env= unset-env").runs(Runs::Command(0)),
    p("launchctl submit").takes("l p o e").runs(Runs::Command(0)),
    p("machinectl shell").takes("E setenv uid M H").runs(Runs::Command(1)),
    p("zellij run").runs(Runs::After("--", 0)),
    p("screen").takes("S c e h p s t T X").runs(Runs::Command(0)),
    p("xterm|urxvt|konsole|alacritty|kitty|foot").takes("e& T title").runs(Runs::Nothing),
    p("mise exec|mise x").runs(Runs::After("--", 0)),
    p("gnome-terminal|guix shell|guix environment").runs(Runs::After("--", 0)),
    p("gdb").takes("args& ex x").does(Each(Read)),
    p("fd|fdfind").takes("x& X& exec& exec-batch& e t d E").does(Operands::Other),
    p("entr|ifne|pee").runs(Runs::Command(0)),
    p("npx|bunx|uvx|pipx run|npm exec|pnpm exec|pnpm dlx|yarn dlx|yarn exec").takes("p package c$ call$ from with python spec index-url pip-args").runs(Runs::Command(0)).packages(),
    p("uv run|poetry run|pipenv run|pdm run|hatch run|bundle exec|rbenv exec|pyenv exec|conda run|asdf exec").takes("p n e o with python package cwd c$").runs(Runs::Command(0)).packages(),
    p("perf stat|perf record|toolbox run").takes("p e o container c").runs(Runs::Command(0)),
    p("distrobox enter|distrobox-enter|schroot").runs(Runs::After("--", 0)),
    p("sshpass").takes("p f d").runs(Runs::Command(0)),
    p("nix-shell").takes("run$ command$ p A I packages attr").runs(Runs::Nothing),
    p("nix develop|nix shell|nix run").takes("c& command&").runs(Runs::Nothing),
    p("busybox|busybox-static|toybox|coreutils").takes("coreutils-prog&").runs(Runs::Multi),
    p("eval").runs(Runs::Here),
    p("trap").runs(Runs::Script),
    p("source|.").does(Operands::Other).runs(Runs::File),
    p("at|batch").takes("f< q t l? c?").runs(Runs::Input),
    p("crontab").takes("u l? r?").does(Each(Read)),
    // Interpreters: their scripts are in a language of their own.
    p("python|python2|python3|pypy|pypy3|node|nodejs|php|lua|luajit|tclsh|Rscript|osascript").takes("c e E m M W X I Q C command eval r").runs(Runs::Interpreter),
    p("perl|ruby").takes("c e E m M W X I Q C command eval r").does(Operands::Filtered).runs(Runs::Interpreter),
    p("deno run|bun run").runs(Runs::Interpreter),
    p("deno eval|bun eval|expect").takes("c").runs(Runs::Interpreter),
    // What deletes.
    p("rm|grm").does(Each(Delete)).style(RM),
    p("unlink|srm|trash|trash-put|gio trash|rimraf|del-cli").takes("n").does(Each(Delete)).style(""),
    p("shred|gshred|wipe").takes("n s iterations size random-source<").does(Each(Delete)).style(""),
    p("find|gfind").takes("fprint> fprintf> fls> name iname path regex newer").does(Find).runs(Runs::Find).style(""),
    p("git rebase").takes("x$ exec$ onto s X C strategy strategy-option"),
    p("git bisect").runs(Runs::After("run", 0)),
    p("git submodule").takes("b branch name reference j jobs depth").runs(Runs::After("foreach", 0)),
    p("git filter-branch").takes("tree-filter$ index-filter$ msg-filter$ env-filter$ parent-filter$ commit-filter$ tag-name-filter$ subdirectory-filter d original"),
    p("man").takes("P$ pager$ M S s L C e m"),
    p("git clean").takes("e exclude").does(Each(Delete)),
    p("git rm").does(Each(Delete)),
    // What moves and copies.
    p("mv|gmv").takes("S t> target-directory> suffix Z").does(To { gone: true }).style(CP),
    p("cp|gcp|ln|gln|install|ginstall|ditto").takes("S m o g t> Z target-directory> suffix mode owner group").does(To { gone: false }).style(CP),
    p("scp|pscp").takes("c D F i J l o: P S X").does(Transfer),
    p("rsync").takes("e$ rsh$ rsync-path B M f T filter exclude exclude-from include include-from files-from< compare-dest copy-dest link-dest log-file> password-file bwlimit port temp-dir partial-dir backup-dir chmod chown timeout max-size min-size out-format info debug suffix").does(Transfer),
    p("sftp").takes("b< c D F i J l o: P R S").does(Transfer).sends(),
    p("rclone").takes("config").global(),
    p("rclone copy|rclone sync|rclone move|rclone copyto|rclone cat").does(Transfer),
    p("aws s3|gsutil cp|gcloud storage").does(Transfer).fetches(""),
    p("mktemp").does(Operands::Other),
    // What writes.
    p("tee|gtee|sponge").does(Each(Write)).style("a i p append ignore-interrupts"),
    p("touch|gtouch|truncate|gtruncate").takes("s r< d t size reference< date").does(Each(Write)).style(""),
    p("split|csplit").takes("b l n C a").does(Each(Read)).style(""),
    p("mkdir|rmdir").takes("m mode").does(Each(Write)),
    p("mkfifo|mknod").takes("m mode").does(Each(Write)),
    p("chmod|gchmod|chown|gchown|chgrp|gchgrp|chattr|setfacl").takes("reference% from p").does(AfterFirst(Write)).style(CHMOD),
    p("dd|gdd").takes("if< of>").does(Keys).style(""),
    p("vi|vim|nvim|view|nano|pico|emacs|ed|ex|micro|code").takes("c: cmd: S< u T t r").does(Operands::Edited),
    p("mkfs|mke2fs|mkswap|blkdiscard|sgdisk|sfdisk|fdisk|cfdisk|parted|gdisk|newfs|grub-install").takes("t o a U help? l? list? d? dump? J? verify? s. p? print? b? backup? verify? v? i? L? check? help? version? list-types? size uuid file script. c w.").does(Each(Write)),
    p("badblocks").takes("b c d e i o p t").does(Each(Write)),
    p("wipefs").takes("t o n? no-act? help? J? p?").does(Each(Write)).style(""),
    p("patch").takes("i< o> d p r input< output> directory").does(Each(Write)),
    // What reads.
    p("cat|gcat|tac|less|more|most|base32|wc|rev|sum|cksum|md5sum|sha1sum|sha256sum|sha512sum|b2sum|zcat|bzcat|xzcat|zless|lz4cat|zstdcat|hd|look|uuencode").takes("").does(Each(Read)).style(""),
    p("nl").takes("b d f h i l n s v w").does(Each(Read)).style(""),
    p("bat|batcat").takes("l r H m language line-range highlight-line theme style paging wrap tabs").does(Each(Read)).style(""),
    p("shasum").takes("a algorithm").does(Each(Read)).style(""),
    p("base64|gbase64").takes("w i< b o> wrap").does(Each(Read)).style("").decodes("d D decode"),
    p("sort|gsort|uniq").takes("k t o> T S key field-separator output> parallel").does(Each(Read)).style(""),
    p("head|ghead|tail|gtail").takes("n c s lines bytes sleep-interval pid max-unchanged-stats").does(Each(Read)).style(""),
    p("cut").takes("b c d f bytes characters delimiter fields output-delimiter").does(Each(Read)).style(""),
    p("paste|fold|pr|column|expand|fmt|join").takes("d w t o l h width delimiters").does(Each(Read)),
    p("comm|cmp|diff|sdiff|colordiff|vimdiff").takes("I L x X< U C W i n exclude exclude-from< from-file< to-file< label ignore-matching-lines output-delimiter").does(Each(Read)),
    p("xxd").takes("l s c g o seek cols len").does(Each(Read)).style("").decodes("r revert"),
    p("od|hexdump").takes("j N t A n e s f<").does(Each(Read)).style(""),
    p("strings|qrencode").takes("n t e o> bytes radix encoding").does(Each(Read)).style(""),
    p("grep|ggrep|egrep|fgrep|zgrep|rg|ag|ack").takes("e% f% A B C m D d g t T M E regexp% file% include exclude exclude-dir exclude-from glob type max-count context color colour label").does(AfterFirst(Read)).style(""),
    p("sed|gsed").takes("e% f% l expression% file% line-length").does(AfterFirst(Read)).style(""),
    p("awk|gawk|mawk|nawk").takes("F v i f% e% file% field-separator assign source%").does(AfterFirst(Read)).runs(Runs::Awk).style(""),
    p("jq|yq|gojq").takes("f% from-file% indent L arg= argjson= slurpfile= rawfile= args").does(AfterFirst(Read)),
    p("tr|printf|echo|test|[|expr").does(Operands::Other),
    p("openssl").takes("in< out> inkey< key< cert< CAfile passin pass k").does(Operands::Other).decodes("d"),
    p("tar|gtar|bsdtar").takes("C f> T< X I to-command$ checkpoint-action: use-compress-program! directory file> files-from< exclude exclude-from transform").does(Archive),
    p("zip|7z|7za|rar").takes("x i P p").does(AfterFirst(Read)),
    p("unzip").takes("d> P x").does(Each(Read)),
    p("gzip|gunzip|bzip2|bunzip2|xz|unxz|zstd|unzstd|lz4|uncompress").takes("S suffix o>").does(Each(Read)),
    p("gpg|gpg2").takes("o> output> u r local-user recipient passphrase homedir passphrase-file<").does(Each(Read)).decodes("d decrypt"),
    p("envsubst|iconv|dos2unix").takes("f t from to").does(Each(Read)),
    p("sqlite3").does(Each(Read)),
    p("mail|mailx|mutt|sendmail").takes("a< A< s r c b attach< subject").does(Operands::Other).sends(),
    // What fetches and sends.
    p("curl").takes("o> output> O. d@ data@ data-binary@ data-raw data-ascii@ data-urlencode@ json@ F@ form@ form-string T< upload-file< K< config< D> dump-header> c> cookie-jar> b cookie E cert key cacert capath netrc-file A user-agent e referer H@ header@ u user U proxy-user x proxy X request m max-time connect-timeout w write-out r range resolve connect-to retry retry-delay retry-max-time y Y z C limit-rate interface local-port t Q P ftp-port output-dir url^ stderr> trace> trace-ascii> ciphers tls-max aws-sigv4 unix-socket abstract-unix-socket dns-servers doh-url max-redirs pinnedpubkey proto proto-redir proto-default socks5 socks5-hostname socks4 preproxy noproxy oauth2-bearer variable expand-data").does(Each(Fetch)).fetches("o output O remote-name remote-name-all T upload-file").sends(),
    p("wget|wget2").takes("O> output-document> o> output-file> a append-output i< input-file< P directory-prefix post-file< body-file< post-data body-data header user password U user-agent referer e execute t tries T timeout w wait Q quota D domains A accept R reject I X exclude-directories load-cookies< save-cookies> certificate private-key ca-certificate method bind-address limit-rate base B cut-dirs level l use-askpass http-user http-password proxy-user").does(Each(Fetch)).fetches("?O").sends(),
    p("http|https|httpie|xh|aria2c|lynx|w3m|links|elinks|fetch|axel").takes("d dir o> out> output> a auth x i<").does(Each(Fetch)).fetches("o out output").sends(),
    p("git").takes("C c: git-dir work-tree namespace exec-path! config-env! super-prefix attr-source").global(),
    p("git clone").takes("b branch o origin depth c: config: reference template! u! upload-pack! separate-git-dir j jobs filter").does(Each(Fetch)),
    p("nc|ncat|netcat|nc.traditional|nc.openbsd").takes("e! c$ exec! sh-exec$ p s w i q X x T I O m G g").does(Operands::Other).fetches("").sends(),
    p("socat").does(Operands::Other).fetches("").sends(),
    p("telnet|ftp|tftp|lftp").takes("o>").does(Operands::Other).fetches("").sends(),
    p("openssl s_client").does(Operands::Other).fetches("").sends(),
    p("dig|nslookup|host|drill").takes("p t q c").does(Operands::Other).fetches("").sends(),
    p("ping").does(Operands::Other).sends(),
    p("wormhole|magic-wormhole|croc").does(AfterFirst(Read)).sends(),
    p("gh gist").takes("d f R").does(AfterFirst(Read)).sends(),
    p("gh api|gh issue|gh pr|gh release").takes("f@ F@ b body t title input< body-file< X H").does(Operands::Other).sends(),
    p("logger").takes("f< n P t p").does(Operands::Other).sends(),
    p("lp|lpr|git hash-object|git diff").does(Each(Read)),
    // Global options before a subcommand.
    p("kubectl|oc").takes("n namespace context cluster user kubeconfig s server token as as-group v cache-dir certificate-authority client-certificate client-key request-timeout tls-server-name").global(),
    p("helm").takes("n namespace kube-context kubeconfig kube-apiserver registry-config repository-cache repository-config").global(),
    p("docker|podman|nerdctl").takes("c context config H host l log-level tlscacert tlscert tlskey").global(),
    p("terraform|tofu|terragrunt").takes("").global(),
    p("aws").takes("profile region output endpoint-url query color ca-bundle cli-read-timeout cli-connect-timeout").global(),
    p("gcloud").takes("project account configuration format verbosity").global(),
    p("az").takes("subscription output o query").global(),
    p("gh").takes("R repo hostname").global(),
    p("npm|pnpm").takes("prefix C dir w workspace filter F loglevel registry userconfig").global(),
    p("yarn").takes("cwd").global(),
    p("cargo").takes("C Z color config! manifest-path").global(),
    p("go").takes("C").global(),
    p("make|gmake").takes("C f< file< I j l o W directory makefile< jobs").global(),
    p("systemctl").takes("H M t p n o host machine type property signal s user~ global~").global(),
    p("pip|pip3").takes("proxy log cache-dir python retries timeout").global(),
    p("flatpak|snap|brew|apt|apt-get|dnf|yum|apk|pacman").takes("o c t").global(),
    ]
});

static BY_NAME: LazyLock<Names<&Program>> = LazyLock::new(|| {
    let named =
        |program: &'static Program| program.names.split('|').map(move |name| (name, program));
    TABLE.iter().flat_map(named).collect()
});

/// What is known of the subcommand `second` of the program `name`.
pub(crate) fn find_subcommand(name: &str, second: &str) -> Option<&'static Program> {
    // By both words apart: every command is looked up several times.
    static SUBCOMMANDS: LazyLock<Names<Names<&Program>>> = LazyLock::new(|| {
        let mut all: Names<Names<_>> = Names::default();
        for (name, program) in BY_NAME.iter() {
            if let Some((first, second)) = name.split_once(' ') {
                all.entry(first).or_default().insert(second, *program);
            }
        }
        all
    });
    SUBCOMMANDS.get(name)?.get(second).copied()
}

/// What is known of the program `name`, a last path component, or of a subcommand of it.
///
/// A disk that ignores case, as macOS's does, has `rm` under the name `RM` as well.
pub(crate) fn find(name: &str) -> Option<&'static Program> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return find_as_written(name).or_else(|| find_as_written(&name.to_ascii_lowercase()));
    }
    find_as_written(name)
}

fn find_as_written(name: &str) -> Option<&'static Program> {
    if let Some(program) = BY_NAME.get(name) {
        return Some(program);
    }
    // `mkfs.ext4`, `python3.12`, `ld-linux-x86-64.so.2`, `perl5.36`.
    let family = match name {
        _ if name.starts_with("mkfs.") => "mkfs",
        _ if name.starts_with("ld-linux") || name.starts_with("ld-musl") || name == "ld.so" => {
            "ld-linux.so"
        }
        _ => {
            let family =
                name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
            return (family != name)
                .then(|| BY_NAME.get(family).copied())
                .flatten()
                .filter(|it| it.runs == Runs::Interpreter);
        }
    };
    BY_NAME.get(family).copied()
}

/// A word that is an option: `-` alone is the standard input.
pub(crate) fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// The last component of a program's path.
pub(crate) fn base_name(program: &str) -> &str {
    match program.bytes().rposition(|byte| byte == b'/') {
        Some(at) if at + 1 < program.len() => &program[at + 1..],
        _ => program,
    }
}
