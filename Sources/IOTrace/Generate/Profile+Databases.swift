extension Profile {
    /// Loads of other programs that store data.
    static let databases = [
        Profile(
            name: "postgres-oltp",
            summary: "PostgreSQL: reads by backends, WAL with fdatasync, checkpoints", seconds: 60,
            parts: [
                (
                    "backends",
                    [
                        "directory": "pg/base", "files": "8", "open": "buffered", "call": "pread",
                        "channels": "8", "shared": "yes", "sizes": "8K:1", "read": "100",
                        "order": "zipf", "zipf": "0.9", "align": "8K", "rate": "500",
                    ]
                ),
                (
                    "wal",
                    [
                        "directory": "pg/wal", "files": "16", "file-size": "16M",
                        "open": "buffered", "call": "pread", "sizes": "8K:70,16K:20,64K:10",
                        "rate": "1000", "sync": "fdatasync", "commit": "yes", "latency": "10",
                        "flush": "400",
                    ]
                ),
                (
                    "checkpoint",
                    [
                        "directory": "pg/tables", "files": "8", "open": "buffered",
                        "call": "pread", "sizes": "8K:1", "order": "random", "align": "8K",
                        "rate": "2000", "first": "15", "every": "30", "burst": "128M",
                        "sync": "fsync", "sync-every": "0", "latency": "10", "flush": "5000",
                    ]
                ),
            ]),
        Profile(
            name: "sqlite-wal", summary: "SQLite in WAL mode: frames, syncs and checkpoints",
            seconds: 60,
            parts: [
                (
                    "wal",
                    [
                        "directory": "sqlite/wal", "file-size": "4M", "open": "buffered",
                        "call": "pread", "sizes": "4120:1", "align": "1", "rate": "2000",
                        "sync": "fdatasync", "sync-every": "4", "commit": "yes", "latency": "8",
                        "flush": "300",
                    ]
                ),
                (
                    "checkpoint",
                    [
                        "directory": "sqlite/db", "open": "buffered", "call": "pread",
                        "sizes": "4K:1", "order": "random", "first": "2", "every": "2",
                        "burst": "4M", "sync": "fsync", "sync-every": "0", "latency": "8",
                        "flush": "2000",
                    ]
                ),
                (
                    "readers",
                    [
                        "directory": "sqlite/pages", "open": "buffered", "call": "pread",
                        "channels": "2", "shared": "yes", "sizes": "4K:1", "read": "100",
                        "order": "zipf", "rate": "1000",
                    ]
                ),
            ]),
        Profile(
            name: "kafka-log", summary: "Kafka: appends to partitions, consumers, rare syncs",
            seconds: 60,
            parts: [
                (
                    "produce",
                    [
                        "directory": "kafka/active", "files": "12", "grows": "yes",
                        "open": "buffered", "call": "pread", "channels": "12",
                        "sizes": "16K:50,64K:30,256K:15,1M:5", "align": "1", "rate": "100",
                        "sync": "fdatasync", "sync-every": "10000", "latency": "20",
                        "flush": "20000",
                    ]
                ),
                (
                    "consume",
                    [
                        "directory": "kafka/closed", "files": "12", "open": "buffered",
                        "call": "pread", "channels": "6", "sizes": "64K:40,1M:60", "align": "1",
                        "read": "100", "rate": "80",
                    ]
                ),
            ]),
    ]
}
