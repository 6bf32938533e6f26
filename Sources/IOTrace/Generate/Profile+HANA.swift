extension Profile {
    /// The loads of SAP HANA. Where its behaviour is not published, the parameters are a reading of
    /// what is: libaio, O_DIRECT, and O_DSYNC for what must be durable.
    static let hana = [
        Profile(
            name: "hana-log-oltp", summary: "redo log of many small transactions", seconds: 60,
            parts: [("log", log)]),
        Profile(
            name: "hana-log-bulk", summary: "redo log of a bulk load", seconds: 60,
            parts: [
                (
                    "log",
                    [
                        "directory": "hana/log", "files": "8", "open": "direct-dsync",
                        "sizes": "64K:30,256K:40,1M:30", "depth": "8", "latency": "200",
                        "commit": "yes",
                    ]
                )
            ]),
        Profile(
            name: "hana-savepoint", summary: "page flush and critical phase; the log pauses in it",
            seconds: 600, parts: [("savepoint", savepoint), ("log", log)]),
        Profile(
            name: "hana-restart", summary: "log replay, then column load", seconds: 600,
            parts: [
                (
                    "replay",
                    [
                        "directory": "hana/log", "files": "16", "read": "100", "sizes": "1M:1",
                        "depth": "8", "total": "16G", "bandwidth": "2G",
                    ]
                ),
                (
                    "load",
                    [
                        "directory": "hana/data", "files": "4", "file-size": "16G", "read": "100",
                        "channels": "4", "order": "pages", "sizes": "16M:57,4M:29,1M:14",
                        "sizes-by": "bytes", "depth": "128", "batch": "64", "total": "64G",
                        "after": "replay",
                    ]
                ),
            ]),
        Profile(
            name: "hana-lob", summary: "row store pages and large objects", seconds: 60,
            parts: [("lob", lob)]),
        Profile(
            name: "hana-backup", summary: "data backup in four streams, and log backup",
            seconds: 120,
            parts: [
                (
                    "read",
                    [
                        "directory": "hana/data", "files": "4", "file-size": "16G", "read": "100",
                        "channels": "4", "sizes": "16M:1,32M:1,64M:1", "depth": "2",
                        "bandwidth": "512M",
                    ]
                ),
                (
                    "write",
                    [
                        "directory": "hana/backup/data", "files": "4", "file-size": "16G",
                        "grows": "yes", "channels": "4", "sizes": "64M:1", "depth": "2",
                        "bandwidth": "512M",
                    ]
                ),
                (
                    "logread",
                    [
                        "directory": "hana/log", "files": "4", "read": "100", "sizes": "1M:1",
                        "depth": "8", "first": "5", "every": "60", "burst": "1G",
                    ]
                ),
            ]),
        Profile(
            name: "hana-merge", summary: "delta merges in bursts", seconds: 1200,
            parts: [("merge", merge)]),
        Profile(
            name: "hana-mixed", summary: "transactions, savepoints, pages and merges at once",
            seconds: 600,
            parts: [("log", log), ("savepoint", savepoint), ("lob", lob), ("merge", merge)]),
    ]

    /// Segments of 1 GiB that are overwritten in a circle; arrivals in two states.
    private static let log: KeyValuePairs<String, String> = [
        "directory": "hana/log", "files": "8", "open": "direct-dsync",
        "sizes": "4K:85,8K:8,16K:5,64K:2", "depth": "1-8", "rate": "500-5000", "dwell": "2",
        "commit": "yes", "latency": "150",
    ]

    /// Every 300 s; its last 2 % of bytes are the critical phase.
    private static let savepoint: KeyValuePairs<String, String> = [
        "directory": "hana/data", "files": "4", "file-size": "16G", "channels": "4",
        "order": "pages", "sizes": "16K:8,64K:12,256K:10,1M:20,4M:20,16M:30",
        "sizes-by": "bytes", "depth": "128", "batch": "16-64", "first": "10", "every": "300",
        "burst": "4G-22G", "latency": "300", "bandwidth": "256M", "critical": "2", "pauses": "log",
    ]

    private static let lob: KeyValuePairs<String, String> = [
        "directory": "hana/pages", "files": "4", "file-size": "4G", "read": "70",
        "sizes": "4K:60,16K:20,64K:20", "order": "zipf", "depth": "4-32", "channels": "4",
        "shared": "yes", "rate": "2000",
    ]

    private static let merge: KeyValuePairs<String, String> = [
        "directory": "hana/merge", "files": "2", "file-size": "4G", "read": "50",
        "sizes": "4M:1,8M:1,16M:1", "depth": "8", "first": "20", "every": "60-600",
        "burst": "1G-4G",
    ]
}
