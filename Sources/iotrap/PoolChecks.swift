import Glibc

/// What `iotrap doctor --pool` finds out about one pool: whether its paths are there and answer,
/// lie on mounts of their own, and show the same files.
struct PoolChecks {
    let pool: Pool
    /// After so long without an answer a mount counts as dead.
    let seconds: Double

    /// A path that answered.
    struct Path {
        let path: ByteString
        let canWrite: Bool
    }

    /// - Parameter measures: whether to read through the paths and tell how fast that is.
    func findings(measures: Bool) -> [Finding] {
        let answers = PoolProbe.ask(
            pool.paths.map { ["look", $0] }, within: seconds)
        var findings: [Finding] = []
        var entries: [PoolMountChecks.Entry] = []
        var alive: [Path] = []
        let table = MountTable.ofProcess()
        for (path, answer) in zip(pool.paths, answers) {
            let mount =
                answer.number("mount").flatMap { table?[Int($0)] } ?? table?.mount(holding: path)
            findings.append(finding(path, answer, mount))
            if case .lines = answer {
                alive.append(Path(path: path, canWrite: answer.number("writable") == 1))
            }
            // What a missing path would lie on says nothing about the pool.
            if case .failed = answer { continue }
            if let mount { entries.append(PoolMountChecks.Entry(path: path, mount: mount)) }
        }
        if table == nil {
            findings.append(
                .warn("mount", "/proc/self/mountinfo is unreadable", remedy: "mount /proc"))
        }
        let mounts = PoolMountChecks(pool: pool.name, entries: entries)
        findings += mounts.findings()
        if pool.paths.count == 1 {
            findings.append(
                .warn(
                    "pool", "\(pool.name): one path: there is nothing to spread over",
                    remedy: "add the other mounts of the same storage"))
        }
        guard alive.count > 1, !mounts.endangersData else { return findings }
        let files = PoolFileChecks(pool: pool, seconds: seconds, paths: alive).findings()
        findings += files
        if measures, !files.contains(where: { $0.level == .fail }) {
            findings.append(PoolRate(pool: pool.name, seconds: seconds, paths: alive).finding())
        }
        return findings
    }

    private func finding(
        _ path: ByteString, _ answer: PoolProbe.Answer, _ mount: Mount?
    ) -> Finding {
        let name = "\(pool.name): \(path.text)"
        switch answer {
        case .silent:
            return .fail(
                "path", "\(name): no answer within \(Self.text(seconds)) s",
                remedy: "check the server and the way to it; umount -f -l takes a dead mount away")
        case .failed(_, let code):
            return .fail(
                "path", "\(name): \(Diagnostics.errorText(code))",
                remedy: code == ENOENT
                    ? "make the directory and mount the storage there"
                    : code == ENOTDIR
                        ? "a path of a pool is the directory of a mount"
                        : code == EACCES
                            ? "run as the user of the program" : "mount it anew")
        case .lines:
            let place = mount.map { ", \($0.type) of \($0.source.text)" } ?? ""
            return .ok("path", name + place)
        }
    }

    /// Seconds without a fraction where they have none.
    static func text(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
    }
}
