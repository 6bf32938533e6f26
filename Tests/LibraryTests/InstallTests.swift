import Foundation
import Glibc
import Testing

/// Installs as the tutorial says, and asks for nothing more.
@Suite("make install-library")
struct InstallTests {
    /// Commands in a view of the file system of their own, in which /usr/local is empty and what
    /// is written to /etc reaches nobody.
    private func runAlone(_ commands: String, in scratch: Scratch) throws -> ProcessResult {
        let script = """
            set -e
            mkdir "$0/etc" "$0/work"
            mount -t tmpfs none /usr/local
            mount -t overlay none -o "lowerdir=/etc,upperdir=$0/etc,workdir=$0/work" /etc
            [ ! -d /var/cache/ldconfig ] || mount -t tmpfs none /var/cache/ldconfig
            cd "$0"
            \(commands)
            """
        return try ProcessRun.run(
            "/usr/bin/unshare", ["-m", "/bin/sh", "-c", script, scratch.path],
            environment: [
                "HOME": scratch.path, "ROOT": Repository.root,
                "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin",
            ])
    }

    /// What stands in the way of such a view.
    private func obstacle(_ scratch: Scratch) throws -> String? {
        guard geteuid() == 0 else { return "mounting needs root" }
        let trial = try runAlone("exit 0", in: scratch)
        return trial.succeeded ? nil : trial.output
    }

    /// Installs, compiles the first program of the tutorial as it says, and finds its way about.
    private func follow(_ installing: String, _ setting: String = "") throws {
        if let obstacle = try obstacle(Scratch()) {
            print("SKIP installing the library: \(obstacle)")
            return
        }
        let scratch = try Scratch()
        let tutorial = try Tutorial()
        _ = try scratch.file("program.c", try #require(tutorial.blocks("c").first))
        let result = try runAlone(
            """
            \(installing.replacing("make ", with: "make -s -C \"$ROOT\" "))
            \(setting)
            \(try tutorial.commands("cc "))
            pkg-config --modversion iotrap
            [ ! -x /usr/bin/man ] || man iotrap_queue_open | grep -c '^NAME'
            """, in: scratch)
        let printed = try #require(tutorial.blocks("text").first)
        let version = try Repository.text(Repository.root + "/VERSION")
        let manual = access("/usr/bin/man", X_OK) == 0 ? "1\n" : ""
        #expect(result.succeeded, "\(result.ending)")
        #expect(result.output == printed + version + manual)
    }

    @Test("Below /usr/local, compiler, loader and man find it by themselves")
    func usual() throws {
        let commands = try Tutorial().commands("apt-get install ").split(separator: "\n")
        try #require(commands.count == 3)
        try follow(String(commands[2]))
    }

    @Test("Below a directory of one's own, with the variables that the tutorial names")
    func ownDirectory() throws {
        try follow(
            "make install-library PREFIX=$HOME/iotrap", Tutorial().commands("export "))
    }

    @Test("Packages are made without a change to the machine")
    func staged() throws {
        let plan = try ProcessRun.run(
            "/usr/bin/make", ["-n", "-C", Repository.root, "install-library", "DESTDIR=/stage"])
        #expect(plan.succeeded && plan.output.contains("/stage/usr/local/lib"), "\(plan.output)")
        #expect(!plan.output.contains("ldconfig"), "\(plan.output)")
    }
}
