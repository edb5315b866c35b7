import com.datastax.driver.core.BatchStatement;
import com.datastax.driver.core.BoundStatement;
import com.datastax.driver.core.Cluster;
import com.datastax.driver.core.HostDistance;
import com.datastax.driver.core.PoolingOptions;
import com.datastax.driver.core.PreparedStatement;
import com.datastax.driver.core.ResultSet;
import com.datastax.driver.core.ResultSetFuture;
import com.datastax.driver.core.Row;
import com.datastax.driver.core.Session;
import com.datastax.driver.core.SocketOptions;
import com.datastax.driver.core.Statement;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Loads rows into a Cassandra node on loopback and asks it, with asynchronous prepared statements.
 *
 * <p>java CassandraClient.java load|reopen|ask ROWS PID [key=value...]; cassandra_peer.py runs it.
 * README.md says what the commands print. Processor time and bytes written are those of the node,
 * whose process is PID; client_cpu is this program's.
 */
public final class CassandraClient {
    private static final int ANSWER_SLICES = 200;
    private static final int WARM_SLICES = 3000;
    private static final int WARM_ROWS = 200_000;
    private static final String KEYSPACE = "peer";

    private final Map<String, String> options = new HashMap<>();
    private final Rows rows;
    private final long pid;
    private final Cluster cluster;
    private Session session;

    private CassandraClient(String[] args) throws IOException {
        rows = new Rows(Path.of(args[1]));
        pid = Long.parseLong(args[2]);
        for (int i = 3; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            options.put(pair[0], pair[1]);
        }
        PoolingOptions pooling = new PoolingOptions();
        pooling.setConnectionsPerHost(HostDistance.LOCAL, 2, 2);
        pooling.setMaxRequestsPerConnection(HostDistance.LOCAL, 4096);
        pooling.setMaxQueueSize(65536);
        pooling.setPoolTimeoutMillis(120_000);
        cluster = Cluster.builder().addContactPoint("127.0.0.1").withPoolingOptions(pooling)
                .withSocketOptions(new SocketOptions().setReadTimeoutMillis(600_000))
                .withoutJMXReporting().build();
    }

    private int number(String key, int otherwise) {
        return Integer.parseInt(options.getOrDefault(key, Integer.toString(otherwise)));
    }

    /** Whether questions are asked before the clock starts. */
    private boolean warms() {
        return number("warm", 1) == 1;
    }

    private double timeBox() {
        return Double.parseDouble(options.getOrDefault("seconds", "60"));
    }

    // ------------------------------------------------------------------------------------- Rows

    /** What row_writer wrote, mapped. */
    private static final class Rows {
        final Map<String, String> facts = new HashMap<>();
        final List<String> columns = new ArrayList<>();
        final Map<String, String> types = new HashMap<>();
        final Map<String, ByteBuffer> values = new HashMap<>();
        final Map<String, String[]> texts = new HashMap<>();
        final List<long[]> slices = new ArrayList<>(); // partition, from, to
        String key; // the further clustering column, or null

        Rows(Path folder) throws IOException {
            for (String line : Files.readAllLines(folder.resolve("meta.txt"))) {
                String[] words = line.split(" ");
                if (!words[0].equals("column")) {
                    facts.put(words[0], words[1]);
                    continue;
                }
                add(folder, words[1], words[2]);
                columns.add(words[1]);
                if (words.length > 3) {
                    key = words[1];
                }
            }
            add(folder, "name", "text");
            add(folder, "ts", "i64");
            for (String line : Files.readAllLines(folder.resolve("slices.txt"))) {
                slices.add(Arrays.stream(line.split(" ")).mapToLong(Long::parseLong).toArray());
            }
        }

        private void add(Path folder, String name, String type) throws IOException {
            Path path = folder.resolve(name + "." + (type.equals("text") ? "u32" : type));
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "r")) {
                values.put(name, file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0,
                        file.length()).order(ByteOrder.nativeOrder()));
            }
            types.put(name, type);
            if (type.equals("text")) {
                texts.put(name, Files.readAllLines(folder.resolve(name + ".txt"))
                        .toArray(new String[0]));
            }
        }

        int count() {
            return Integer.parseInt(facts.get("rows"));
        }

        String set() {
            return facts.get("set");
        }

        String measured() {
            return facts.get("measured");
        }

        int partition(int row) {
            return values.get("name").getInt(4 * row);
        }

        String name(long partition) {
            return texts.get("name")[(int) partition];
        }

        /** The row's values in the order in which INSERT names the columns. */
        Object[] bound(int row) {
            Object[] all = new Object[columns.size() + 2];
            all[0] = name(partition(row));
            all[1] = new Date(values.get("ts").getLong(8 * row));
            for (int i = 0; i < columns.size(); i++) {
                ByteBuffer column = values.get(columns.get(i));
                switch (types.get(columns.get(i))) {
                    case "f64": all[i + 2] = column.getDouble(8 * row); break;
                    case "i32": all[i + 2] = column.getInt(4 * row); break;
                    default: all[i + 2] = texts.get(columns.get(i))[column.getInt(4 * row)];
                }
            }
            return all;
        }
    }

    // ------------------------------------------------------------------------------------- Cost

    /** What the node and this program have used since it was made. */
    private final class Cost {
        final long started = System.nanoTime();
        final double node = nodeCpu();
        final double client = clientCpu();
        final long written = nodeWritten();

        double seconds() {
            return (System.nanoTime() - started) / 1e9;
        }

        void line(String measure, double seconds, String more) {
            System.out.printf(Locale.ROOT, "{\"measure\": \"%s\"%s, \"seconds\": %.9f, \"cpu\": %.3f, "
                    + "\"client_cpu\": %.3f, \"written\": %d}%n", measure, more, seconds,
                    nodeCpu() - node, clientCpu() - client, nodeWritten() - written);
        }
    }

    private double clientCpu() {
        return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos() / 1e9;
    }

    private double nodeCpu() {
        return ProcessHandle.of(pid).orElseThrow().info().totalCpuDuration().orElseThrow()
                .toNanos() / 1e9;
    }

    private long nodeNumber(String file, String label) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/" + file))) {
                if (line.startsWith(label)) {
                    return Long.parseLong(line.replaceAll("[^0-9]", ""));
                }
            }
            return 0;
        } catch (IOException gone) {
            throw new IllegalStateException("the node has ended", gone);
        }
    }

    private long nodeWritten() {
        return nodeNumber("io", "write_bytes:");
    }

    private static String answer(double[] values) {
        return ", \"answer\": " + Arrays.toString(values);
    }

    // ------------------------------------------------------------------------------------- Load

    private void createTable() {
        Map<String, String> names = Map.of("f64", "double", "i32", "int", "text", "text");
        StringBuilder columns = new StringBuilder("name text, ts timestamp");
        for (String column : rows.columns) {
            columns.append(", ").append(column).append(' ').append(names.get(rows.types.get(column)));
        }
        String compression = options.getOrDefault("compression", "lz4").equals("zstd")
                ? "{'class': 'ZstdCompressor', 'chunk_length_in_kb': 64}"
                : "{'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}";
        try (Session plain = cluster.connect()) {
            plain.execute("CREATE KEYSPACE IF NOT EXISTS " + KEYSPACE + " WITH replication = "
                    + "{'class': 'SimpleStrategy', 'replication_factor': 1}");
        }
        session = cluster.connect(KEYSPACE);
        session.execute("DROP TABLE IF EXISTS " + rows.set());
        session.execute("CREATE TABLE " + rows.set() + " (" + columns + ", PRIMARY KEY ((name), ts"
                + (rows.key == null ? "" : ", " + rows.key) + ")) WITH compression = " + compression);
    }

    private PreparedStatement insert() {
        String names = "name, ts, " + String.join(", ", rows.columns);
        String marks = "?" + ", ?".repeat(rows.columns.size() + 1);
        return session.prepare("INSERT INTO " + rows.set() + " (" + names + ") VALUES (" + marks
                + ")");
    }

    /** The rows of each request: one by one, or `commit` rows of one partition as they arrive. */
    private List<int[]> requests(int commit, int count) {
        List<int[]> all = new ArrayList<>();
        int[][] open = new int[rows.texts.get("name").length][];
        int[] used = new int[open.length];
        for (int row = 0; row < count; row++) {
            int partition = rows.partition(row);
            if (open[partition] == null) {
                open[partition] = new int[commit];
            }
            open[partition][used[partition]++] = row;
            if (used[partition] == commit) {
                all.add(open[partition]);
                open[partition] = null;
                used[partition] = 0;
            }
        }
        for (int partition = 0; partition < open.length; partition++) {
            if (used[partition] > 0) {
                all.add(Arrays.copyOf(open[partition], used[partition]));
            }
        }
        return all;
    }

    private Statement statement(PreparedStatement insert, int[] request) {
        if (request.length == 1) {
            return insert.bind(rows.bound(request[0]));
        }
        BatchStatement batch = new BatchStatement(BatchStatement.Type.UNLOGGED);
        for (int row : request) {
            batch.add(insert.bind(rows.bound(row)));
        }
        return batch;
    }

    /** Send until all are acknowledged or time is up; returns how many rows were acknowledged. */
    private int send(PreparedStatement insert, List<int[]> requests, int inFlight, double seconds)
            throws InterruptedException {
        Semaphore room = new Semaphore(inFlight);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        long deadline = System.nanoTime() + (long) (seconds * 1e9);
        int sent = 0;
        for (int[] request : requests) {
            if (System.nanoTime() >= deadline || failure.get() != null) {
                break;
            }
            room.acquire();
            ResultSetFuture future = session.executeAsync(statement(insert, request));
            future.addListener(() -> {
                try {
                    future.getUninterruptibly();
                } catch (RuntimeException problem) {
                    failure.set(problem);
                }
                room.release();
            }, Runnable::run);
            sent += request.length;
        }
        room.acquire(inFlight);
        if (failure.get() != null) {
            throw new IllegalStateException("an insert failed", failure.get());
        }
        return sent;
    }

    private void load() throws InterruptedException {
        createTable();
        int most = number("rows", 0);
        int count = most > 0 ? Math.min(most, rows.count()) : rows.count();
        int inFlight = number("writers", 1024);
        List<int[]> requests = requests(number("commit", 100), count);
        PreparedStatement insert = insert();
        int warm = Math.min(requests.size(), Math.max(WARM_ROWS / number("commit", 100), 1));
        send(insert, requests.subList(0, warm), inFlight, timeBox());
        session.execute("TRUNCATE " + rows.set());
        Cost cost = new Cost();
        int sent = send(insert, requests, inFlight, timeBox());
        boolean complete = sent == rows.count();
        cost.line("ingest", cost.seconds(), ", \"rows\": " + sent + ", \"complete\": " + complete);
        if (complete) {
            Cost first = new Cost();
            double[] sum = slice(prepareSlice(), rows.slices.get(0));
            first.line("first_answer", first.seconds(), answer(sum));
        }
    }

    private void reopen() {
        Cost cost = new Cost();
        session = cluster.connect(KEYSPACE);
        double[] sum = slice(prepareSlice(), rows.slices.get(0));
        double seconds = cost.seconds();
        cost.line("reopen", seconds, String.format(", \"rows\": %.0f", scan()[0]) + answer(sum));
    }

    // -------------------------------------------------------------------------------- Questions

    private interface SliceQuestion {
        double[] ask(PreparedStatement prepared, long[] asked);
    }

    private PreparedStatement prepareRange(String select) {
        return session.prepare("SELECT " + select + " FROM " + rows.set()
                + " WHERE name = ? AND ts >= ? AND ts < ?");
    }

    private PreparedStatement prepareSlice() {
        return prepareRange("*");
    }

    private BoundStatement bind(PreparedStatement prepared, long[] asked) {
        return prepared.bind(rows.name(asked[0]), new Date(asked[1]), new Date(asked[2]));
    }

    private double[] slice(PreparedStatement prepared, long[] asked) {
        double[] sum = new double[2];
        for (Row row : session.execute(bind(prepared, asked))) {
            sum[0]++;
            sum[1] += row.getDouble(rows.measured());
        }
        return sum;
    }

    private double[] hour(PreparedStatement prepared, long[] asked) {
        Row row = session.execute(bind(prepared, asked)).one();
        return new double[] {row.getLong(0), row.getDouble(1)};
    }

    private void askSlices(String measure, PreparedStatement prepared, SliceQuestion question) {
        int n = rows.slices.size();
        long warmUntil = System.nanoTime() + (long) (timeBox() / 4 * 1e9);
        for (int i = 0; warms() && i < WARM_SLICES && System.nanoTime() < warmUntil; i++) {
            question.ask(prepared, rows.slices.get((n - 1 - i % n)));
        }
        int least = Math.min(n, ANSWER_SLICES);
        double[] sum = new double[2];
        double[] times = new double[n];
        int asked = 0;
        Cost cost = new Cost();
        while (asked < n && (asked < least || cost.seconds() < timeBox())) {
            long start = System.nanoTime();
            double[] one = question.ask(prepared, rows.slices.get(asked));
            times[asked] = (System.nanoTime() - start) / 1e9;
            if (asked++ < least) {
                sum[0] += one[0];
                sum[1] += one[1];
            }
        }
        double seconds = cost.seconds();
        double[] sorted = Arrays.copyOf(times, asked);
        Arrays.sort(sorted);
        cost.line(measure, seconds, String.format(Locale.ROOT,
                ", \"n\": %d, \"p50\": %.9f, \"p99\": %.9f, \"p999\": %.9f", asked,
                at(sorted, 0.5), at(sorted, 0.99), at(sorted, 0.999)) + answer(sum));
    }

    private static double at(double[] sorted, double fraction) {
        return sorted[Math.min((int) (fraction * sorted.length), sorted.length - 1)];
    }

    private void askCrowd() throws InterruptedException {
        int clients = number("clients", 64);
        PreparedStatement prepared = prepareSlice();
        AtomicInteger asked = new AtomicInteger();
        AtomicLong done = new AtomicLong();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        Cost cost = new Cost();
        for (int i = 0; i < clients; i++) {
            Thread thread = new Thread(() -> {
                while (failure.get() == null && cost.seconds() < timeBox() / 4) {
                    int slice = asked.getAndIncrement() % rows.slices.size();
                    slice(prepared, rows.slices.get(slice));
                    done.incrementAndGet();
                }
            });
            thread.setUncaughtExceptionHandler((which, problem) -> failure.set(problem));
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        if (failure.get() != null) {
            throw new IllegalStateException("a slice failed", failure.get());
        }
        cost.line("slice_crowd", cost.seconds(),
                ", \"clients\": " + clients + ", \"n\": " + done.get());
    }

    /** Every row of a result: how many, if `counts`, then the sum of each column from `first` on. */
    private double[] sums(ResultSet result, boolean counts, int first) {
        int columns = result.getColumnDefinitions().size();
        double[] sums = new double[columns - first + (counts ? 1 : 0)];
        for (Row row : result) {
            int at = 0;
            if (counts) {
                sums[at++]++;
            }
            for (int i = first; i < columns; i++) {
                Object value = row.getObject(i);
                sums[at++] += value instanceof Date ? ((Date) value).getTime()
                        : ((Number) value).doubleValue();
            }
        }
        return sums;
    }

    private double[] hourly(String name) {
        String m = rows.measured();
        String where = name == null ? "" : " WHERE name = '" + name + "'";
        return sums(session.execute(String.format(
                "SELECT count(*), min(%s), max(%s), sum(%s) FROM %s%s GROUP BY name, floor(ts, 1h)",
                m, m, m, rows.set(), where)), true, 0);
    }

    private double[] byPartition() {
        return sums(session.execute(String.format(
                "SELECT name, count(*), avg(%s) FROM %s GROUP BY name", rows.measured(),
                rows.set())), true, 1);
    }

    private double[] total() {
        return sums(session.execute(String.format("SELECT sum(%s) FROM %s", rows.measured(),
                rows.set())), false, 0);
    }

    /** One query a partition, all in flight at once. */
    private double[] latest() {
        PreparedStatement prepared = session.prepare(String.format(
                "SELECT ts, %s FROM %s WHERE name = ? ORDER BY ts DESC LIMIT 1", rows.measured(),
                rows.set()));
        List<ResultSetFuture> futures = new ArrayList<>();
        for (String name : rows.texts.get("name")) {
            futures.add(session.executeAsync(prepared.bind(name)));
        }
        double[] sum = new double[3];
        for (ResultSetFuture future : futures) {
            double[] one = sums(future.getUninterruptibly(), true, 0);
            for (int i = 0; i < sum.length; i++) {
                sum[i] += one[i];
            }
        }
        return sum;
    }

    private double[] scan() {
        double[] sum = new double[2];
        for (Row row : session.execute("SELECT * FROM " + rows.set())) {
            sum[0]++;
            sum[1] += row.getDouble(rows.measured());
        }
        return sum;
    }

    private double[] whole(String question) {
        switch (question) {
            case "hourly_one": return hourly(rows.name(0));
            case "hourly_all": return hourly(null);
            case "by_partition": return byPartition();
            case "total": return total();
            case "latest": return latest();
            case "scan": return scan();
            default: throw new IllegalArgumentException("no question is named " + question);
        }
    }

    /** Once to warm the node, then several times or until the time box is full. */
    private void askWhole(String question) {
        Cost box = new Cost();
        if (warms()) {
            whole(question);
        }
        for (int run = 0; run < number("runs", 3); run++) {
            if (run > 0 && box.seconds() >= timeBox()) {
                break;
            }
            Cost cost = new Cost();
            double[] values = whole(question);
            cost.line(question, cost.seconds(), ", \"run\": " + run + answer(values));
        }
    }

    private void ask() throws InterruptedException {
        session = cluster.connect(KEYSPACE);
        for (String question : options.getOrDefault("questions", "slice").split(",")) {
            if (question.equals("slice")) {
                askSlices(question, prepareSlice(), this::slice);
            } else if (question.equals("hour")) {
                askSlices(question, prepareRange("count(*), avg(" + rows.measured() + ")"),
                        this::hour);
            } else if (question.equals("slice_crowd")) {
                askCrowd();
            } else {
                askWhole(question);
            }
        }
        System.out.printf("{\"measure\": \"memory\", \"peak_bytes\": %d}%n",
                1024 * nodeNumber("status", "VmHWM:"));
    }

    public static void main(String[] args) throws Exception {
        CassandraClient client = new CassandraClient(args);
        try {
            switch (args[0]) {
                case "load": client.load(); break;
                case "reopen": client.reopen(); break;
                case "ask": client.ask(); break;
                default: throw new IllegalArgumentException("no command is named " + args[0]);
            }
        } finally {
            client.cluster.close();
        }
    }
}
