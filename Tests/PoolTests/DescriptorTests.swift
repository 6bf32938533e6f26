import Foundation
import Glibc
import Testing

extension Pools {
    /// The program sees one descriptor, and every way to get at a file leads to its pool.
    @Suite("Descriptors", .serialized)
    struct DescriptorTests {
        private func with(_ body: (Links, Driver, Int) throws -> Void) throws {
            try Links.with(count: 2) { links in
                let driver = try links.driver()
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1])
                try body(links, driver, file)
            }
        }

        private func count(_ driver: Driver) throws -> [String] {
            let folder = "/proc/\(driver.conversation.processID)/fd"
            return try FileManager.default.contentsOfDirectory(atPath: folder)
                .filter { Int($0).map { $0 < 256 } ?? false }.sorted()
        }

        @Test("The program has the descriptors that it would have without the library")
        func invisible() throws {
            try with { links, driver, file in
                let bare = try links.bareDriver()
                let other = try bare.open(links.path(0))
                #expect(file == other)
                try driver.spread("read", file, sequence: 1, over: [0, 1])
                try driver.expect("write \(file) 0 4194304 2", "4194304")
                try driver.expect("sync fsync \(file)", "0")
                #expect(try count(driver) == count(bare))
                try driver.expect("close \(file)", "0")
                try bare.expect("close \(other)", "0")
                #expect(try count(driver) == count(bare))
            }
        }

        @Test("Symbolic links, and names with dots, lead to the pool", arguments: [false, true])
        func names(_ throughFolder: Bool) throws {
            try Links.with(count: 2) { links in
                try links.shell("mkdir -p '\(links.backing("a/b"))'; mkdir '\(links.scratch)/l'")
                try links.shell("ln -s '\(links.scratch)/m/0/a' '\(links.scratch)/l/a'")
                try links.shell("ln -s b '\(links.backing("a/c"))'")
                let driver = try links.driver()
                let name =
                    throughFolder
                    ? "\(links.scratch)/l/a/c/file" : links.path(0, "a/../a/./c//b/../b/file")
                try links.shell("ln -s . '\(links.backing("a/b/b"))'")
                let file = try driver.open(name)
                try driver.spread("write", file, sequence: 1, over: [0, 1])
                try links.expectBacking("a/b/file", sequence: 1)
            }
        }

        @Test("Relative names, and names in an open folder, lead to the pool")
        func relative() throws {
            try Links.with(count: 2) { links in
                try links.shell("mkdir -p '\(links.backing("a/b"))'")
                let driver = try links.driver()
                try driver.expect("chdir \(links.path(0, "a"))", "0")
                let first = try driver.open("b/../b/first")
                try driver.spread("write", first, sequence: 1, over: [0, 1])
                try links.expectBacking("a/b/first", sequence: 1)
                let folder = try driver("folder b")
                let second = try #require(
                    Int(try driver("openat \(folder) second write,direct,create")))
                try driver.spread("write", second, sequence: 2, over: [0, 1])
                try links.expectBacking("a/b/second", sequence: 2)
                // The program may be elsewhere, and the folder closed.
                try driver.expect("chdir /", "0")
                try driver.expect("close \(folder)", "0")
                try driver.spread("read", first, sequence: 1, over: [0, 1])
                try driver.spread("read", second, sequence: 2, over: [0, 1])
            }
        }

        @Test(
            "Duplicates are spread, and go on when the first is closed",
            arguments: ["dup", "dup2", "dup3", "fcntl"])
        func duplicates(_ call: String) throws {
            try with { links, driver, file in
                let other = try #require(Int(try driver("\(call) \(file) 30")))
                #expect(call == "dup" ? other == file + 1 : other == 30)
                try driver.spread("write", other, sequence: 2, over: [0, 1])
                try driver.expect("close \(file)", "0")
                try driver.spread("write", other, sequence: 3, over: [0, 1])
                try links.expectBacking(sequence: 3)
            }
        }

        @Test("A number that gets another file is that file's", arguments: ["dup2", "close"])
        func reused(_ how: String) throws {
            try with { links, driver, file in
                for round in 0..<20 {
                    let name = links.path(0, "other\(round)")
                    if how == "close" { try driver.expect("close \(file)", "0") }
                    var other = try driver.open(name)
                    if how == "dup2" {
                        try driver.expect("dup2 \(other) \(file)", "\(file)")
                        try driver.expect("close \(other)", "0")
                        other = file
                    }
                    try driver.transfer("write", other, sequence: 5 + round)
                    try driver.transfer("write", other, sequence: 5 + round)
                    try driver.transfer("read", other, sequence: 5 + round)
                    try links.expectBacking("other\(round)", sequence: 5 + round)
                }
                try links.expectBacking(sequence: 1)
            }
        }

        @Test("What is closed while requests are under way ends well")
        func closedInFlight() throws {
            try with { links, driver, file in
                try links.setAll("latency-us=20000")
                let start = "start libaio write \(file) 0 65536 64 2"
                try driver.expect(start, "started 64")
                try driver.expect("close_range 3 60", "0")
                let other = try driver.open(links.path(0, "other"))
                try driver.transfer("write", other, sequence: 3)
                try driver.expect("reap", "ok")
                try links.expectBacking(sequence: 2)
                try links.expectBacking("other", sequence: 3)
            }
        }

        @Test("Descriptors that survive fork and exec are spread")
        func survivors() throws {
            try with { links, driver, file in
                try driver.expect("child write \(file) 0 4194304 2", "4194304")
                try links.expectBacking(sequence: 2)
                try driver.spread("write", file, sequence: 3, over: [0, 1])
                try driver.conversation.send("exec")
                try driver.spread("write", file, sequence: 4, over: [0, 1])
                try driver.spread("read", file, sequence: 4, over: [0, 1])
                try links.expectBacking(sequence: 4)
            }
        }

        @Test("An open file that is renamed, removed or replaced is still the same one")
        func replaced() throws {
            try with { links, driver, file in
                try driver.expect("rename \(links.path(0)) \(links.path(0, "new"))", "0")
                try driver.spread("write", file, sequence: 2, over: [0, 1])
                try links.expectBacking("new", sequence: 2)
                let other = try driver.open(links.path(0))
                try driver.spread("write", other, sequence: 3, over: [0, 1])
                try driver.expect("rename \(links.path(0)) \(links.path(0, "new"))", "0")
                // Its name is gone, and another file's now.
                try driver.transfer("write", file, sequence: 4)
                try driver.transfer("read", file, sequence: 4)
                try driver.spread("write", other, sequence: 5, over: [0, 1])
                try driver.transfer("read", file, sequence: 4)
                try links.expectBacking("new", sequence: 5)
                try driver.expect("unlink \(links.path(0, "new"))", "0")
                try driver.transfer("write", other, sequence: 6)
                try driver.transfer("read", other, sequence: 6)
                try driver.transfer("read", file, sequence: 4)
            }
        }

        @Test("Files of a mount below a pool's path are not taken for the pool's")
        func nested() throws {
            try Links.with(count: 2) { links in
                try links.shell("mkdir '\(links.backing("below"))'")
                try links.shell("mount -t tmpfs none '\(links.path(0, "below"))'")
                defer { _ = try? links.shell("umount -l '\(links.path(0, "below"))'") }
                let driver = try links.driver()
                let file = try driver.open(links.path(0, "below/file"), "write,create")
                try driver.expect("write \(file) 0 4194304 1", "4194304")
                try driver.transfer("write", file, sequence: 2)
                try driver.transfer("read", file, sequence: 2)
                #expect(access(links.backing("below/file"), F_OK) != 0)
            }
        }
    }
}
