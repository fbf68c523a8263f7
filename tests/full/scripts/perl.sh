# Perl's own tests of what starts programs, run by the installed Perl with a copy of its library.
mkdir lib
perl -e 'print "$_\n" for grep { -d && m{^/usr/(?:lib|share)/} && !m{/local|vendor|perl5\b} } @INC' |
	while read -r directory; do
		cp -rsn "$directory/." lib/
	done
cp -r "$SOURCES/perl/t" t
cd t
ln -s "$(command -v perl)" perl
for test in op/exec.t op/fork.t op/kill0.t op/alarm.t op/magic.t op/stat.t op/die_exit.t \
	op/sigdispatch.t io/pipe.t io/open.t io/dup.t io/argv.t io/inplace.t io/fs.t io/errno.t io/say.t \
	io/perlio_open.t run/exit.t run/switches.t run/runenv.t run/script.t run/fresh_perl.t; do
	echo "== $test"
	./perl "$test" 2>&1 || echo "exit status $?"
done
