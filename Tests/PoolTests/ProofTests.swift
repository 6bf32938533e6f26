import Foundation
import Glibc
import Testing

extension Pools {
    /// Paths that do not lead to the program's file are not used for it, and the log says so.
    @Suite("Proof", .serialized)
    struct ProofTests {
        /// A file is written through a pool, of which these links carry nothing.
        private func exercise(
            _ driver: Driver, _ links: Links, unused: [Int], sequence: Int = 5,
            at location: SourceLocation = #_sourceLocation
        ) throws {
            let file = try driver.open(links.path(0), at: location)
            let before = try unused.map { try links.counter($0, "writes") }
            for _ in 0..<10 {
                try driver.transfer("write", file, sequence: sequence, at: location)
                try driver.transfer("read", file, sequence: sequence, at: location)
                try driver.expect(
                    "write \(file) 0 4194304 \(sequence)", "4194304", at: location)
            }
            for (link, count) in zip(unused, before) {
                #expect(
                    try links.counter(link, "writes") == count, "link \(link)",
                    sourceLocation: location)
            }
            try links.expectBacking(sequence: sequence, at: location)
        }

        /// Waits for a line about a path.
        private func expectLog(
            _ links: Links, _ text: String, _ driver: Driver,
            at location: SourceLocation = #_sourceLocation
        ) throws {
            let isThere = try eventually { links.log.contains(text) }
            #expect(isThere, "no '\(text)' in: \(links.log)", sourceLocation: location)
        }

        /// Two pairs of links, each over a folder of its own.
        private func withTwoFolders(_ body: (Links, Links) throws -> Void) throws {
            try Links.with(count: 2) { links in
                try Links.with(count: 2) { others in try body(links, others) }
            }
        }

        @Test("A path to another folder is not used, whatever the file there looks like")
        func otherFolder() throws {
            try withTwoFolders { links, others in
                // The same name, size, content and times.
                let bare = try links.bareDriver()
                let first = try bare.open(links.backing(), "write,create")
                try bare.expect("write \(first) 0 4194304 1", "4194304")
                try links.shell(
                    "cp -a '\(links.backing())' '\(others.backing())'; sleep 0.01;"
                        + " touch -r '\(links.backing())' '\(others.backing())'")
                let paths = [0, 1].map { "\(links.scratch)/m/\($0)" } + ["\(others.scratch)/m/0"]
                let driver = try links.driver(links.environment(paths: paths))
                try exercise(driver, links, unused: [])
                try expectLog(links, "goes on without '\(others.scratch)/m/0'", driver)
                #expect(try others.counter(0, "writes") == 0)
                try others.expectBacking(sequence: 1)
                // The one that does is.
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 6, over: [0, 1])
            }
        }

        @Test("A path where the file is missing is not used")
        func missing() throws {
            try withTwoFolders { links, others in
                let paths = [0, 1].map { "\(links.scratch)/m/\($0)" } + ["\(others.scratch)/m/0"]
                let driver = try links.driver(links.environment(paths: paths))
                try exercise(driver, links, unused: [])
                try expectLog(links, "goes on without '\(others.scratch)/m/0'", driver)
                #expect(access(others.backing(), F_OK) != 0, "a file was made")
            }
        }

        @Test("A path that is not mounted, or not there, is not used", arguments: [false, true])
        func unmounted(_ isThere: Bool) throws {
            try Links.with(count: 2) { links in
                let nowhere = links.scratch + "/nowhere"
                if isThere { try links.shell("mkdir '\(nowhere)'; touch '\(nowhere)/file'") }
                let paths = [0, 1].map { "\(links.scratch)/m/\($0)" } + [nowhere]
                let driver = try links.driver(links.environment(paths: paths))
                try exercise(driver, links, unused: [])
                try expectLog(links, "goes on without '\(nowhere)'", driver)
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 6, over: [0, 1])
                if isThere {
                    #expect(try links.shell("stat -c %s '\(nowhere)/file'") == "0\n")
                }
            }
        }

        @Test("A read-only path is not written to, and the program goes on")
        func readOnly() throws {
            try Links.with(count: 3) { links in
                try links.shell("mount -i -o remount,ro '\(links.scratch)/m/2'")
                let driver = try links.driver()
                try exercise(driver, links, unused: [2])
                try expectLog(links, "goes on without '\(links.scratch)/m/2'", driver)
                // Files that are only read are read there, too.
                let file = try driver.open(links.path(0), "read,direct")
                try driver.spread("read", file, sequence: 5, over: [0, 1, 2])
            }
        }

        @Test("A second mount of the same superblock is not another way")
        func bound() throws {
            try Links.with(count: 2) { links in
                let other = links.scratch + "/bound"
                try links.shell("mkdir '\(other)'; mount --bind '\(links.scratch)/m/0' '\(other)'")
                defer { _ = try? links.shell("umount -l '\(other)'") }
                let paths = ["\(links.scratch)/m/0", other]
                let driver = try links.driver(links.environment(paths: paths))
                try exercise(driver, links, unused: [1])
                try expectLog(links, "or the same mount", driver)
            }
        }

        @Test("A file that is replaced on the way is not written any more through other paths")
        func replaced() throws {
            try Links.with(count: 2) { links in
                let driver = try links.driver()
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1])
                try driver.expect("rename \(links.path(0)) \(links.path(0, "old"))", "0")
                let other = try driver.open(links.path(0))
                try driver.spread("write", other, sequence: 2, over: [0, 1])
                try driver.spread("write", file, sequence: 3, over: [0])
                try links.expectBacking("old", sequence: 3)
                try links.expectBacking(sequence: 2)
            }
        }

        static let wrong = [
            ("duplicated", "m0,m1,m0"), ("inside another", "m0,m1,m0/sub"),
            ("in two pools", "m0,m1 more:m1,m2"), ("not absolute", "m0,relative"),
            ("no option", "m0,m1,colour=red"), ("no value", "m0,m1,chunk=0"),
            ("too many", (0..<65).map { "m\($0)" }.joined(separator: ",")),
        ]

        @Test("A pool that is wrong is left alone, and the log says why", arguments: wrong)
        func wrongPool(_ why: String, _ text: String) throws {
            try Links.with(count: 3) { links in
                var variables = links.environment()
                variables["IOTRAP_MOUNT_POOLS"] =
                    "links:" + text.replacing(/m(\d)/) { "\(links.scratch)/m/\($0.output.1)" }
                let driver = try links.driver(variables)
                try exercise(driver, links, unused: [1, 2])
                #expect(!links.log.isEmpty, "\(why)")
            }
        }

        @Test("Slashes at the end and blanks in paths do no harm")
        func spelling() throws {
            try Links.with(count: 2) { links in
                let other = links.scratch + "/with blank"
                try links.shell("ln -s '\(links.scratch)/m/1' '\(other)'")
                let paths = ["\(links.scratch)/m/0//", "\"\(other)/\""]
                let driver = try links.driver(links.environment(paths: paths))
                let file = try driver.open(links.path(0))
                try driver.spread("write", file, sequence: 1, over: [0, 1])
                #expect(links.log.isEmpty, "\(links.log)")
            }
        }
    }
}
