import Foundation
import Testing

@Suite("libiotrap.so: installed, found by pkg-config, linked by a C program")
struct LinkedLibraryTests {
    /// Prints what every function of iotrap.h returns, and that errno is left alone.
    private static let program = """
        #include <errno.h>
        #include <fcntl.h>
        #include <iotrap.h>
        #include <stdio.h>

        int main(int count, char **arguments)
        {
            char out[8] = "helloyou", in[8] = "", rest[4] = "";
            struct iovec from[2] = {{out, 5}, {out + 5, 3}};
            struct iovec to[2] = {{in, 6}, {rest, 3}};
            int fd = open(arguments[count - 1], O_RDWR | O_CREAT, 0600);

            errno = 1234;
            printf("version %s\\n", iotrap_version());
            printf("pwritev %zd\\n", iotrap_pwritev(fd, from, 2, 0));
            printf("pwrite %zd\\n", iotrap_pwrite(fd, "H", 1, 0));
            printf("preadv %zd %.6s %.3s\\n", iotrap_preadv(fd, to, 2, 0), in, rest);
            printf("pread %zd at the end, %zd behind it\\n", iotrap_pread(fd, in, 8, 4),
                   iotrap_pread(fd, in, 8, 100));
            printf("fsync %d fdatasync %d\\n", iotrap_fsync(fd), iotrap_fdatasync(fd));
            printf("closed: %zd %zd %d\\n", iotrap_pread(-1, in, 8, 0),
                   iotrap_pwrite(-1, in, 8, 0), iotrap_fsync(-1));
            printf("negative offset %zd\\n", iotrap_pread(fd, in, 8, -1));
            printf("errno %d\\n", errno);
            return 0;
        }
        """

    @Test("It returns what the calls return, in every mode")
    func installedAndLinked() throws {
        let scratch = try Scratch()
        let root = scratch.path + "/root"
        let made = try scratch.run(
            "/usr/bin/make",
            ["-s", "-C", repository.path, "install", "DESTDIR=" + root, "PREFIX=/usr"],
            ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"])
        #expect(made.status == 0, "\(made.errors)")
        let description = try String(
            contentsOfFile: root + "/usr/lib/pkgconfig/iotrap.pc", encoding: .utf8)
        #expect(description.contains("Libs: -L${libdir} -liotrap"))
        let source = try scratch.file("program.c", Data(Self.program.utf8))
        let binary = scratch.path + "/program"
        let compiled = try scratch.run(
            "/usr/bin/cc",
            [
                "-Wall", "-Werror", "-I", root + "/usr/include", source, "-L",
                root + "/usr/lib", "-liotrap", "-o", binary,
            ])
        #expect(compiled.status == 0, "\(compiled.errors)")
        let version = try String(
            contentsOfFile: repository.path + "/VERSION", encoding: .utf8)
        for mode in ["off", "observe", "auto", "force"] {
            let outcome = try scratch.run(
                binary, [scratch.path + "/" + mode],
                ["LD_LIBRARY_PATH": root + "/usr/lib", "IOTRAP_MODE": mode])
            #expect(
                outcome.output == """
                    version \(version.trimmingCharacters(in: .whitespacesAndNewlines))
                    pwritev 8
                    pwrite 1
                    preadv 8 Helloy ou
                    pread 4 at the end, 0 behind it
                    fsync 0 fdatasync 0
                    closed: -9 -9 -9
                    negative offset -22
                    errno 1234

                    """, "mode \(mode): \(outcome.errors)")
        }
    }
}
