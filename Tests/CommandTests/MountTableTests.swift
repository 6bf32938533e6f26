import Testing

@testable import iotrap

/// What the command reads from /proc/self/mountinfo, and what that alone says about a pool.
@Suite("Mounts of a pool")
struct MountTableTests {
    private static let nfs = """
        21 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw
        90 21 0:51 / /hana/a rw,relatime shared:52 - nfs4 fs1:/vol rw,vers=4.1,addr=10.0.0.1
        91 21 0:52 / /hana/b rw,relatime shared:53 - nfs4 fs2:/vol rw,vers=4.1,addr=10.0.0.2
        92 21 0:53 / /hana/c rw,relatime shared:54 - nfs4 fs1:/vol rw,vers=4.1,addr=10.0.0.1
        93 21 0:51 / /hana/d rw,relatime shared:55 - nfs4 fs1:/vol rw,vers=4.1,addr=10.0.0.1
        94 21 0:54 / /hana/e rw,relatime shared:56 - nfs4 fs1:/vol rw,nconnect=4,addr=10.0.0.1
        95 21 0:55 / /hana/f rw,relatime shared:57 - nfs4 fs1:/vol rw,nconnect=4,addr=10.0.0.1
        96 21 0:56 / /hana/g rw,relatime shared:58 - nfs fs1:/vol rw,vers=3,addr=10.0.0.1
        97 21 0:57 / /hana/h rw,relatime shared:59 - nfs4 fs1:/vol rw,vers=4.2,addr=10.0.0.3
        98 21 0:58 / /hana/i rw,relatime shared:60 - nfs4 [fd00::1]:/other rw,vers=4.1
        """

    private static let disks = """
        21 1 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw
        30 21 7:0 / /disk/a ro,relatime - xfs /dev/loop0 ro,norecovery
        31 21 7:1 / /disk/b ro,relatime - xfs /dev/loop1 ro,norecovery
        32 21 7:2 / /disk/c rw,relatime - xfs /dev/loop2 rw
        33 21 7:3 / /disk/d rw,relatime - xfs /dev/loop3 rw
        34 21 7:3 /part /disk/e ro,relatime - xfs /dev/loop3 rw
        """

    private func findings(_ text: String, _ paths: String...) throws -> [Finding] {
        let table = MountTable(Array(text.utf8))
        let entries = try paths.map {
            let path = ByteString($0)
            let mount = try #require(table.mount(holding: path))
            return PoolMountChecks.Entry(path: path, mount: mount)
        }
        return PoolMountChecks(pool: "data", entries: entries).findings()
    }

    /// The one finding of a kind that holds all words, in its text or in its remedy.
    private func expect(
        _ findings: [Finding], _ level: Finding.Level, _ words: String...,
        at location: SourceLocation = #_sourceLocation
    ) {
        let found = findings.filter { finding in
            let text = finding.detail + " " + (finding.remedy ?? "")
            return finding.level == level && words.allSatisfy { text.contains($0) }
        }
        #expect(found.count == 1, "\(level) \(words) in \(findings)", sourceLocation: location)
    }

    @Test("A line is read with any number of optional fields")
    func optionalFields() {
        for fields in ["", "shared:1 ", "master:2 propagate_from:7 unbindable "] {
            let line = "36 35 98:0 /root /mnt/a rw,noatime \(fields)- nfs4 h:/e ro,addr=1.2.3.4"
            let expected = Mount(
                identifier: 36, device: "98:0", root: "/root", path: "/mnt/a",
                options: ["rw", "noatime"], type: "nfs4", source: "h:/e",
                superOptions: ["ro", "addr=1.2.3.4"])
            #expect(MountTable(Array(line.utf8)).mounts == [expected])
            #expect(expected.isReadOnly)
            #expect(expected.value(of: "addr") == "1.2.3.4")
            #expect(expected.value(of: "add") == nil)
        }
    }

    @Test("Blanks, tabs, line ends, backslashes and number signs stand as octal digits")
    func escapes() {
        let line = #"1 0 0:1 / /a\040b\011c\012d\134e\043f\04 rw - fuse.x so\040urce rw,o\134p"#
        let mount = MountTable(Array(line.utf8)).mounts.first
        #expect(mount?.path == ByteString("/a b\tc\nd\\e#f\\04"))
        #expect(mount?.source == "so urce")
        #expect(mount?.superOptions == ["rw", "o\\p"])
    }

    @Test("An empty source is one; lines that are none are passed over")
    func oddLines() {
        let text = "nonsense\n1 0 0:1 / /a rw - tmpfs  rw\n2 0 0:2 / /b rw shared:1 tmpfs x rw\n\n"
        let mounts = MountTable(Array(text.utf8)).mounts
        #expect(mounts.map(\.path) == ["/a"])
        #expect(mounts.first?.source == "")
    }

    @Test("A path belongs to the innermost mount above it, and to the latest on one directory")
    func holding() {
        let text = """
            1 0 0:1 / / rw - ext4 a rw
            2 1 0:2 / /mnt rw - ext4 b rw
            3 2 0:3 / /mnt/a rw - ext4 c rw
            4 2 0:4 / /mnt/a rw - ext4 d rw
            """
        let table = MountTable(Array(text.utf8))
        for (path, identifier) in [
            ("/mnt/a", 4), ("/mnt/a/b", 4), ("/mnt/ab", 2), ("/mn", 1), ("/", 1),
        ] {
            #expect(table.mount(holding: ByteString(path))?.identifier == identifier, "\(path)")
        }
        #expect(table[3]?.source == "c")
        #expect(table[9] == nil)
    }

    @Test("The table of this process has a root")
    func ownTable() throws {
        #expect(try #require(MountTable.ofProcess()).mount(holding: "/") != nil)
    }

    @Test("Several addresses of one server are what a pool is for")
    func addresses() throws {
        let findings = try findings(Self.nfs, "/hana/a", "/hana/b")
        #expect(findings.allSatisfy { $0.level == .ok }, "\(findings)")
        expect(findings, .ok, "2 addresses")
        expect(findings, .ok, "/vol from fs1, fs2")
    }

    @Test("With one address, nconnect alone would do")
    func nconnect() throws {
        expect(
            try findings(Self.nfs, "/hana/a", "/hana/c"), .warn, "10.0.0.1",
            "nconnect=N alone would do")
        expect(
            try findings(Self.nfs, "/hana/e", "/hana/f"), .warn, "nconnect=4 already",
            "gain little")
        expect(
            try findings(Self.nfs, "/hana/a", "/hana/b", "/hana/c"), .warn,
            "3 paths to 2 addresses")
    }

    @Test("One superblock under two names is told, with nosharecache for NFS")
    func superblocks() throws {
        expect(
            try findings(Self.nfs, "/hana/a", "/hana/d"), .warn, "one superblock (0:51)",
            "nosharecache")
        let disks = try findings(Self.disks, "/disk/d", "/disk/e")
        expect(disks, .warn, "one superblock (7:3)", "--bind")
        expect(try findings(Self.nfs, "/hana/a/x", "/hana/a/y"), .warn, "lie on one mount")
        expect(try findings(Self.nfs, "/hana/a", "/hana/c"), .ok, "a superblock each")
    }

    @Test("Versions and exports of NFS that differ")
    func versions() throws {
        expect(try findings(Self.nfs, "/hana/a", "/hana/g"), .warn, "nfs4, nfs", "vers=")
        expect(try findings(Self.nfs, "/hana/a", "/hana/h"), .warn, "versions differ: 4.1, 4.2")
        expect(try findings(Self.nfs, "/hana/a", "/hana/i"), .warn, "exports: /vol, /other")
    }

    @Test("An IPv6 address is an address; without one the name of the host is")
    func remotes() throws {
        let mounts = MountTable(Array(Self.nfs.utf8)).mounts
        let last = try #require(mounts.last)
        #expect(last.remote.host == "[fd00::1]")
        #expect(last.remote.export == "/other")
        #expect(last.serverAddress == "fd00::1")
        #expect(mounts[1].serverAddress == "10.0.0.1")
    }

    @Test("Types that differ, and paths that nothing is mounted on")
    func types() throws {
        expect(try findings(Self.nfs, "/hana/a", "/hana/x"), .fail, "nfs4, ext4")
        expect(try findings(Self.nfs, "/hana/a", "/hana/x"), .warn, "nothing is mounted on /hana/x")
    }

    @Test("Read-only mounts carry reads alone")
    func readOnly() throws {
        expect(try findings(Self.disks, "/disk/a", "/disk/b"), .warn, "all paths: only reads")
        expect(try findings(Self.disks, "/disk/a", "/disk/c"), .warn, "/disk/a: only reads", "it")
    }

    @Test("A local file system mounted for writing from two devices is not shared, but destroyed")
    func separateDisks() throws {
        let text = "writes through two of them destroy it"
        expect(try findings(Self.disks, "/disk/c", "/disk/d"), .fail, text)
        for pair in [("/disk/a", "/disk/b"), ("/disk/a", "/disk/c"), ("/disk/d", "/disk/e")] {
            let findings = try findings(Self.disks, pair.0, pair.1)
            #expect(!findings.contains { $0.level == .fail }, "\(findings)")
        }
    }
}
