import CIOTrapEngine
import Glibc

/// Whether all paths of a pool show the same files. A file that is made through one path and seen
/// through the others proves it; where nothing can be written, what is there is compared.
struct PoolFileChecks {
    let pool: Pool
    let seconds: Double
    let paths: [PoolChecks.Path]

    func findings() -> [Finding] {
        // The file is to be gone whatever the user types meanwhile.
        var stops = sigset_t()
        var before = sigset_t()
        sigemptyset(&stops)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { sigaddset(&stops, signal) }
        sigprocmask(SIG_BLOCK, &stops, &before)
        defer { sigprocmask(SIG_SETMASK, &before, nil) }
        for maker in paths.indices where paths[maker].canWrite {
            if let findings = proof(maker) { return findings }
        }
        return comparison()
    }

    // MARK: - By writing

    /// The findings of a proof; nil when no file can be made through that path.
    private func proof(_ maker: Int) -> [Finding]? {
        let name = ".iotrap-\(getpid())-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
        let content = Hexadecimal.text((0..<64).map { _ in UInt8.random(in: 0...255) })
        let file = paths[maker].path + "/" + name
        let made = ask([["make", file, "0", ByteString(content)]])[0]
        if case .failed("open", _) = made { return nil }
        var findings: [Finding]?
        if made == .silent {
            findings = [silence(paths[maker].path)]
        } else if let inode = made.words("inode")?.first {
            findings = seen(maker, name, content, inode)
        }
        if ask([["remove", file]])[0] != .lines([["removed"]]) {
            findings =
                (findings ?? []) + [
                    .warn("files", "\(file.text) could not be removed", remedy: "remove it")
                ]
        }
        return findings
    }

    /// What the other paths say to a file that was made through one.
    private func seen(
        _ maker: Int, _ name: String, _ content: String, _ inode: String
    ) -> [Finding] {
        let others = paths.indices.filter { $0 != maker }
        // Long enough for attributes and names that a mount remembers for a second or three.
        let patience = String(Int(min(3.5, seconds * 0.7) * 1000))
        let answers = ask(
            others.map {
                ["find", paths[$0].path + "/" + name, ByteString(content), ByteString(patience)]
            })
        var findings: [Finding] = []
        var numbered: [String] = []
        for (other, answer) in zip(others, answers) {
            let path = paths[other].path
            let names = "\(pool.name): \(path.text) and \(paths[maker].path.text)"
            switch answer {
            case .silent: findings.append(silence(path))
            case .failed(_, let code):
                findings.append(
                    .warn(
                        "files", "\(names): not compared: \(Diagnostics.errorText(code))",
                        remedy: "run as the user of the program"))
            case .lines:
                if let seen = answer.words("same")?.first {
                    if seen != inode { numbered.append(path.text) }
                } else {
                    findings.append(different(names))
                }
            }
        }
        if findings.isEmpty {
            findings.append(
                .ok(
                    "files",
                    "\(pool.name): a file made through one path shows through "
                        + (others.count == 1 ? "the other" : "the other \(others.count)")))
        }
        return findings + numbering(numbered)
    }

    // MARK: - By looking

    private func comparison() -> [Finding] {
        guard let first = paths.first else { return [] }
        let listed = ask([["list", first.path]])[0]
        if listed == .silent { return [silence(first.path)] }
        let names = listed.all("file").compactMap(\.first)
        guard !names.isEmpty else {
            return [
                .warn(
                    "files", "\(pool.name): nothing can be written and there is nothing to compare",
                    remedy: "run as the user of the program, or put a file there")
            ]
        }
        var last: [Finding] = []
        // Files may be changing while they are looked at.
        for round in 0..<4 {
            if round > 0 { usleep(500_000) }
            let questions = paths.map { ["sample", $0.path] + names.map { ByteString($0) } }
            last = compared(ask(questions), names.count)
            if !last.contains(where: { $0.level == .fail }) { break }
        }
        return last
    }

    private func compared(_ answers: [PoolProbe.Answer], _ count: Int) -> [Finding] {
        if case .silent = answers[0] { return [silence(paths[0].path)] }
        let expected = answers[0].all("file")
        var findings: [Finding] = []
        var numbered: [String] = []
        for (path, answer) in zip(paths, answers).dropFirst() {
            let files = answer.all("file")
            let names = "\(pool.name): \(path.path.text) and \(paths[0].path.text)"
            if answer == .silent {
                findings.append(silence(path.path))
            } else if files.map({ $0.prefix(4) }) != expected.map({ $0.prefix(4) }) {
                // Name, size, content, time of the last change of the content.
                findings.append(different(names))
            } else if files != expected {
                numbered.append(path.path.text)
            }
        }
        if findings.isEmpty {
            findings.append(
                .ok(
                    "files",
                    "\(pool.name): all \(paths.count) paths show the same \(count) "
                        + (count == 1 ? "file" : "files") + "; nothing can be written to prove it"))
        }
        return findings + numbering(numbered)
    }

    // MARK: -

    private func ask(_ questions: [[ByteString]]) -> [PoolProbe.Answer] {
        PoolProbe.ask(questions, within: seconds)
    }

    private func different(_ names: String) -> Finding {
        .fail(
            "files", "\(names) show different files",
            remedy: "mount the same storage there, or take it out of the pool")
    }

    private func silence(_ path: ByteString) -> Finding {
        .fail(
            "files",
            "\(pool.name): \(path.text): no answer within \(PoolChecks.text(seconds)) s",
            remedy: "check the server and the way to it")
    }

    /// Same files under other numbers cannot be told from copies by looking at them.
    private func numbering(_ paths: [String]) -> [Finding] {
        if paths.isEmpty || pool.flags & IOTRAP_POOL_SAME != 0 { return [] }
        return [
            .warn(
                "files",
                "\(pool.name): the same files have other inode numbers through "
                    + paths.joined(separator: ", "),
                remedy: "say same=yes if it is certain that the paths never show different storage")
        ]
    }
}
