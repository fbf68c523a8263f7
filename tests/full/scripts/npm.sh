# npm scripts that run others before and after, and a program that starts others in each of Node's ways.
export npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false
export npm_config_cache="$HOME/cache" npm_config_offline=true NO_COLOR=1

cat >package.json <<'JSON'
{
  "name": "sample",
  "version": "1.0.0",
  "private": true,
  "scripts": {
    "prebuild": "echo before",
    "build": "npm run lint && npm run compile -- --fast 'two words'",
    "postbuild": "echo after",
    "lint": "node -e \"console.log('lint', process.env.npm_lifecycle_event)\"",
    "compile": "node starts.js",
    "fails": "exit 7"
  }
}
JSON
cat >starts.js <<'JS'
const { execFileSync, execSync, fork, spawn, spawnSync } = require('node:child_process');
if (process.argv[2] === 'child') {
  process.send({ got: process.argv.slice(3) });
  process.exit(0);
}
console.log(process.argv.slice(2));
console.log(execSync('echo "$0" from a shell; seq 3 | sort -r').toString());
console.log(execFileSync('printf', ['%s|', 'a b', '', 'ü']).toString());
console.log(spawnSync('no-such-program').error.code);
console.log(spawnSync('sh', ['-c', 'kill -TERM $$']).signal);
const echo = spawn('cat', { stdio: ['pipe', 'inherit', 'inherit'] });
echo.stdin.end('through a pipe\n');
echo.on('close', (code) => {
  console.log('cat', code);
  fork(__filename, ['child', 'x y']).on('message', console.log).on('exit', (it) => console.log('fork', it));
});
JS
npm run build
npm run --silent fails || echo "status $?"
npm run fails >/dev/null 2>&1 || echo "status $?"
npm run no-such-script >/dev/null 2>&1 || echo "status $?"
npm pkg get name version
npx --no-install no-such-command >/dev/null 2>&1 || echo "status $?"
