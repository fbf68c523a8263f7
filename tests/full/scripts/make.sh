# A build with four parallel jobs, and its result.
tar -xf "$SOURCES/hello.tar" --strip-components=1
./configure --quiet CFLAGS='-O1 -g'
make -j4
make -j4 install DESTDIR="$PWD/installed" prefix=/usr
./hello --greeting='built and run'
find installed -type f -exec sha256sum {} +
