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
import com.datastax.driver.core.policies.RoundRobinPolicy;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Function;
import java.util.function.IntFunction;
import javax.management.JMException;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * Loads rows into a Cassandra node on loopback and asks it, with asynchronous prepared statements.
 *
 * <p>java CassandraClient.java load|merge|size|reopen|ask ROWS PID [key=value...];
 * cassandra_peer.py runs it and answers its "event" lines. README.md says what the commands print.
 * Processor time and bytes written are those of the node, whose process is PID; client_cpu is this
 * program's. Options of its own: warm_seconds; way=partitions|statement|names, the way of asking
 * about the whole table if it is not to be tried out; fan, requests at once; page, rows a
 * page; compaction=twcs. With cold=1 a question finds warm programs, but no page of the table: ask
 * one, of a node that was started while no page was cached.
 */
public final class CassandraClient {
    private static final int ANSWER_SLICES = 200;
    private static final int LEAST_SAMPLES = 3000;
    private static final int LONGEST = 4; // times `seconds`, in which so many samples are taken
    private static final int ELSEWHERE_ROWS = 100_000;
    private static final int ELSEWHERE_SLICES = 2000;
    private static final int NAMES = 100; // of partitions, that one request asks for
    private static final double STEADY = 0.1, HOPELESS = 2;
    private static final double LONGEST_WARM = 3; // times warm_seconds, for one way of asking
    private static final double LEAST_CROWD_SECONDS = 5;
    private static final double QUESTION_SHARE = 10; // of `seconds`, for which one is repeated
    private static final double SETTLE_SECONDS = 60;
    private static final int HOUR_MS = 3_600_000;
    private static final String KEYSPACE = "peer";

    private final Map<String, String> options = new HashMap<>();
    private final Rows rows;
    private final long pid;
    private final Cluster cluster;
    private Session session;
    private String table; // what is loaded or asked, in KEYSPACE
    private JMXConnector node;
    private ExecutorService fan;

    private CassandraClient(String[] args) throws IOException {
        rows = new Rows(Path.of(args[1]));
        table = rows.set();
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
                .withLoadBalancingPolicy(new RoundRobinPolicy()) // there is one node to send to
                .withSocketOptions(new SocketOptions().setReadTimeoutMillis(600_000))
                .withoutJMXReporting().build();
        cluster.getConfiguration().getQueryOptions().setFetchSize(number("page", 5000));
    }

    private int number(String key, int otherwise) {
        return Integer.parseInt(options.getOrDefault(key, Integer.toString(otherwise)));
    }

    private double decimal(String key, double otherwise) {
        return Double.parseDouble(options.getOrDefault(key, Double.toString(otherwise)));
    }

    private boolean isWarm() {
        return number("warm", 1) == 1;
    }

    private double warmSeconds() {
        return decimal("warm_seconds", 10);
    }

    /** Whether questions are asked, and rows loaded, before the clock starts. */
    private boolean warms() {
        return isWarm() && warmSeconds() > 0;
    }

    private double timeBox() {
        return decimal("seconds", 60);
    }

    private String qualified() {
        return KEYSPACE + "." + table;
    }

    private static double now() {
        return System.nanoTime() / 1e9;
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

        long time(int row) {
            return values.get("ts").getLong(8 * row);
        }

        /** The row's values in the order in which INSERT names the columns. */
        BoundStatement bind(PreparedStatement insert, int row) {
            BoundStatement bound = insert.bind();
            bound.setString(0, name(partition(row)));
            bound.setTimestamp(1, new Date(time(row)));
            for (int i = 0; i < columns.size(); i++) {
                ByteBuffer column = values.get(columns.get(i));
                switch (types.get(columns.get(i))) {
                    case "f64": bound.setDouble(i + 2, column.getDouble(8 * row)); break;
                    case "i32": bound.setInt(i + 2, column.getInt(4 * row)); break;
                    default: bound.setString(i + 2,
                            texts.get(columns.get(i))[column.getInt(4 * row)]);
                }
            }
            return bound;
        }

        /** Hours of partitions that the first `n` rows have, at random. */
        List<long[]> slicesOf(int n) {
            Random random = new Random(1);
            List<long[]> found = new ArrayList<>();
            for (int i = 0; i < ELSEWHERE_SLICES; i++) {
                int row = random.nextInt(n);
                found.add(new long[] {partition(row), time(row), time(row) + HOUR_MS});
            }
            return found;
        }
    }

    // ------------------------------------------------------------------------------------- Cost

    /** What the node and this program have used since it was made. */
    private final class Cost {
        final double node = nodeCpu();
        final double client = clientCpu();
        final long written;
        final long started;

        Cost() {
            this(nodeWritten());
        }

        /** Of bytes, those since the node had written so many. */
        Cost(long written) {
            this.written = written;
            started = System.nanoTime(); // the last: what is asked of the system takes time
        }

        double seconds() {
            return (System.nanoTime() - started) / 1e9;
        }

        void line(String measure, double seconds, String more) {
            System.out.printf(Locale.ROOT, "{\"measure\": \"%s\"%s, \"seconds\": %.9f, "
                    + "\"cpu\": %.3f, \"client_cpu\": %.3f, \"written\": %d}%n", measure, more, seconds,
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

    /** The greatest size that the node had since it was started. */
    private void sayMemory() {
        System.out.printf("{\"measure\": \"memory\", \"of\": \"server\", \"peak_bytes\": %d}%n",
                1024 * nodeNumber("status", "VmHWM:"));
    }

    private static String answer(double[] values) {
        return ", \"answer\": " + Arrays.toString(values);
    }

    // ------------------------------------------------------------------------------------- Node

    private MBeanServerConnection jmx() throws IOException {
        if (node == null) {
            node = JMXConnectorFactory.connect(new JMXServiceURL(
                    "service:jmx:rmi:///jndi/rmi://127.0.0.1:" + number("jmx", 7199) + "/jmxrmi"));
        }
        return node.getMBeanServerConnection();
    }

    private void tell(String bean, String operation, Object... arguments)
            throws IOException, JMException {
        String[] types = Arrays.stream(arguments).map(argument -> argument instanceof Boolean
                ? "boolean" : argument.getClass().getName()).toArray(String[]::new);
        jmx().invoke(new ObjectName("org.apache.cassandra.db:type=" + bean), operation, arguments,
                types);
    }

    private long metric(String name, String attribute) throws IOException, JMException {
        return ((Number) jmx().getAttribute(new ObjectName("org.apache.cassandra.metrics:" + name),
                attribute)).longValue();
    }

    /** Until nothing is left of what came before: no compaction is due or runs. */
    private void settle() throws IOException, JMException, InterruptedException {
        double deadline = now() + SETTLE_SECONDS;
        while (metric("type=Compaction,name=PendingTasks", "Value") > 0 && now() < deadline) {
            Thread.sleep(50);
        }
    }

    private void flush() throws IOException, JMException {
        tell("StorageService", "forceKeyspaceFlush", KEYSPACE, new String[] {table});
    }

    private void merge() throws IOException, JMException {
        jmx(); // its start is not the merge's
        if (twcs()) {
            System.out.println("{\"measure\": \"merge\", \"not\": \"TimeWindowCompactionStrategy "
                    + "merges the files of a window once it has passed\"}");
            return;
        }
        Cost cost = new Cost();
        tell("StorageService", "forceKeyspaceCompaction", false, KEYSPACE, new String[] {table});
        cost.line("merge", cost.seconds(), "");
    }

    /** Files that are part of the table; the folder may still hold some that no longer are. */
    private void size() throws IOException, JMException {
        String of = "type=Table,keyspace=" + KEYSPACE + ",scope=" + table + ",name=";
        long bytes = metric(of + "LiveDiskSpaceUsed", "Count");
        long files = metric(of + "LiveSSTableCount", "Value");
        System.out.printf("{\"event\": \"live\", \"bytes\": %d, \"files\": %d}%n", bytes, files);
    }

    /** The node's own caches, then the pages of its files, which cassandra_peer.py drops. */
    private void dropCaches() throws IOException, JMException {
        for (String cache : List.of("Key", "Row", "Counter")) {
            tell("Caches", "invalidate" + cache + "Cache");
        }
        System.out.println("{\"event\": \"evict\"}");
        if (new BufferedReader(new InputStreamReader(System.in)).readLine() == null) {
            throw new IllegalStateException("nobody dropped the pages");
        }
    }

    // ------------------------------------------------------------------------------------- Load

    private boolean twcs() {
        return options.getOrDefault("compaction", "").equals("twcs");
    }

    private void createTable() {
        Map<String, String> names = Map.of("f64", "double", "i32", "int", "text", "text");
        StringBuilder columns = new StringBuilder("name text, ts timestamp");
        for (String column : rows.columns) {
            columns.append(", ").append(column).append(' ')
                    .append(names.get(rows.types.get(column)));
        }
        String with = options.getOrDefault("compression", "lz4").equals("zstd")
                ? "{'class': 'ZstdCompressor', 'chunk_length_in_kb': 64}"
                : "{'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}";
        if (twcs()) {
            with += " AND compaction = {'class': 'TimeWindowCompactionStrategy', "
                    + "'compaction_window_unit': 'DAYS', 'compaction_window_size': 7}";
        }
        session.execute("DROP TABLE IF EXISTS " + qualified());
        session.execute("CREATE TABLE " + qualified() + " (" + columns + ", PRIMARY KEY ((name), ts"
                + (rows.key == null ? "" : ", " + rows.key) + ")) WITH compression = " + with);
    }

    /** With windows of time a row's own time is also its write's, as whoever fills them in does. */
    private PreparedStatement insert() {
        String names = "name, ts, " + String.join(", ", rows.columns);
        String marks = "?" + ", ?".repeat(rows.columns.size() + 1);
        return session.prepare("INSERT INTO " + qualified() + " (" + names + ") VALUES (" + marks
                + ")" + (twcs() ? " USING TIMESTAMP ?" : ""));
    }

    private BoundStatement bound(PreparedStatement insert, int row) {
        BoundStatement bound = rows.bind(insert, row);
        return twcs() ? bound.setLong(rows.columns.size() + 2, 1000 * rows.time(row)) : bound;
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
            return bound(insert, request[0]);
        }
        BatchStatement batch = new BatchStatement(BatchStatement.Type.UNLOGGED);
        for (int row : request) {
            batch.add(bound(insert, row));
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

    /** The same rows into another table: all of them, or those of the first seconds; returns how
     * many. */
    private int loadElsewhere(List<int[]> requests, int inFlight, double seconds)
            throws InterruptedException {
        table = rows.set() + "_warm";
        createTable();
        return send(insert(), requests, inFlight, seconds);
    }

    private void dropElsewhere() throws IOException, JMException, InterruptedException {
        session.execute("DROP TABLE IF EXISTS " + KEYSPACE + "." + rows.set() + "_warm");
        settle();
    }

    /** What is going to be timed, on another table: rows that are inserted, then for half as long
     * slices of them, before a flush and after it. */
    private void warmLoad(List<int[]> requests, int inFlight)
            throws IOException, JMException, InterruptedException {
        int sent = loadElsewhere(requests, inFlight, warmSeconds());
        PreparedStatement prepared = prepareSlice();
        List<long[]> slices = rows.slicesOf(Math.max(sent, 1));
        askFor(warmSeconds() / 4, prepared, this::slice, slices);
        flush();
        askFor(warmSeconds() / 4, prepared, this::slice, slices);
        dropElsewhere();
        table = rows.set();
    }

    private void load() throws IOException, JMException, InterruptedException {
        session = cluster.connect();
        session.execute("CREATE KEYSPACE IF NOT EXISTS " + KEYSPACE + " WITH replication = "
                + "{'class': 'SimpleStrategy', 'replication_factor': 1}");
        int most = number("rows", 0);
        int count = most > 0 ? Math.min(most, rows.count()) : rows.count();
        int inFlight = number("writers", 1024);
        List<int[]> requests = requests(number("commit", 100), count);
        if (warms()) {
            warmLoad(requests, inFlight);
        }
        createTable();
        PreparedStatement insert = insert();
        PreparedStatement prepared = prepareSlice(); // as a service has it that loads and asks
        settle();
        Cost cost = new Cost();
        int sent = send(insert, requests, inFlight, timeBox());
        boolean complete = sent == rows.count();
        cost.line("ingest", cost.seconds(), ", \"rows\": " + sent + ", \"complete\": " + complete);
        long written = nodeWritten();
        if (complete) {
            Cost first = new Cost();
            double[] sum = slice(prepared, rows.slices.get(0));
            first.line("first_answer", first.seconds(), answer(sum));
        }
        if (number("hold", 0) == 0) { // else the node is to be killed with rows only in its log
            Cost flush = new Cost(written);
            flush();
            flush.line("flush", flush.seconds(), "");
        }
        sayMemory();
    }

    /** Neither this program's start is the node's, nor does a node that was started again lose the
     * statements that were prepared. */
    private void reopen() {
        session = cluster.connect();
        PreparedStatement prepared = prepareSlice();
        Cost cost = new Cost();
        double[] sum = slice(prepared, rows.slices.get(0));
        double seconds = cost.seconds();
        double count = ways("scan").get(0).question.get()[0];
        cost.line("reopen", seconds, String.format(Locale.ROOT, ", \"rows\": %.0f", count)
                + answer(sum));
    }

    // ---------------------------------------------------------------------------------- Answers

    private interface SliceQuestion {
        double[] ask(PreparedStatement prepared, long[] asked);
    }

    /** One of the ways to ask about the whole table. */
    private static final class Way {
        final String name;
        final Question question;

        Way(String name, Question question) {
            this.name = name;
            this.question = question;
        }
    }

    private interface Question {
        double[] get();
    }

    private PreparedStatement prepareRange(String select) {
        return session.prepare("SELECT " + select + " FROM " + qualified()
                + " WHERE name = ? AND ts >= ? AND ts < ?");
    }

    /** The value columns, by the names that read() expects in this order. */
    private String values() {
        return String.join(", ", rows.columns);
    }

    private PreparedStatement prepareSlice() {
        return prepareRange("name, ts, " + values());
    }

    private BoundStatement bind(PreparedStatement prepared, long[] asked) {
        return prepared.bind(rows.name(asked[0]), new Date(asked[1]), new Date(asked[2]));
    }

    private double[] read(ResultSet result) {
        return read(result, false);
    }

    /** Rows, sum of the measured column, of all numbers but the key, bytes of all texts, and, if
     * that is asked for, the sum of all times. */
    private double[] read(ResultSet result, boolean times) {
        int first = 2; // after name and ts
        int columns = rows.columns.size();
        char[] kinds = new char[columns];
        for (int i = 0; i < columns; i++) {
            String column = rows.columns.get(i);
            kinds[i] = column.equals(rows.key) ? 'k' : rows.types.get(column).charAt(0);
        }
        int measured = first + rows.columns.indexOf(rows.measured());
        double[] sum = new double[times ? 5 : 4];
        for (Row row : result) {
            sum[0]++;
            if (times) {
                sum[4] += row.getTimestamp(1).getTime();
            }
            sum[1] += row.getDouble(measured);
            for (int i = 0; i < columns; i++) {
                switch (kinds[i]) {
                    case 'f': sum[2] += row.getDouble(first + i); break;
                    case 'i': sum[2] += row.getInt(first + i); break;
                    case 'k': row.getObject(first + i); break;
                    default: sum[3] += row.getBytesUnsafe(first + i).remaining();
                }
            }
        }
        return sum;
    }

    private double[] slice(PreparedStatement prepared, long[] asked) {
        return read(session.execute(bind(prepared, asked)));
    }

    private double[] hour(PreparedStatement prepared, long[] asked) {
        Row row = session.execute(bind(prepared, asked)).one();
        return new double[] {row.getLong(0), row.getDouble(1)};
    }

    /** How many rows a result has, if `counts`, then the sum of each column from `first` on. */
    private static double[] sums(ResultSet result, boolean counts, int first) {
        int columns = result.getColumnDefinitions().size();
        double[] sums = new double[columns - first + (counts ? 1 : 0)];
        for (Row row : result) {
            int at = 0;
            if (counts) {
                sums[at++]++;
            }
            for (int i = first; i < columns; i++) {
                sums[at++] += ((Number) row.getObject(i)).doubleValue();
            }
        }
        return sums;
    }

    private static void add(double[] sum, double[] more) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] += more[i];
        }
    }

    /** Make these requests, several at once, and add up what they answer. */
    private double[] addUp(int requests, IntFunction<double[]> request) {
        int atOnce = number("fan", 64);
        if (fan == null) {
            fan = Executors.newFixedThreadPool(atOnce);
        }
        AtomicInteger next = new AtomicInteger();
        Callable<double[]> work = () -> {
            double[] sum = null;
            for (int i = next.getAndIncrement(); i < requests; i = next.getAndIncrement()) {
                double[] one = request.apply(i);
                if (sum == null) {
                    sum = one;
                } else {
                    add(sum, one);
                }
            }
            return sum;
        };
        List<Future<double[]>> parts = new ArrayList<>();
        for (int i = 0; i < Math.min(atOnce, requests); i++) {
            parts.add(fan.submit(work));
        }
        double[] sum = null;
        try {
            for (Future<double[]> part : parts) {
                double[] one = part.get();
                if (sum == null || one == null) {
                    sum = sum == null ? one : sum;
                } else {
                    add(sum, one);
                }
            }
        } catch (ExecutionException | InterruptedException problem) {
            throw new IllegalStateException("a request was not answered", problem);
        }
        return sum;
    }

    /** Ask of every partition by itself. */
    private double[] ofPartitions(PreparedStatement prepared,
            Function<ResultSet, double[]> answer) {
        String[] names = rows.texts.get("name");
        return addUp(names.length,
                i -> answer.apply(session.execute(prepared.bind(names[i]))));
    }

    /** Ask of many partitions in each request, which cannot be paged if it orders them. */
    private double[] ofNames(PreparedStatement prepared, Function<ResultSet, double[]> answer) {
        List<String> names = Arrays.asList(rows.texts.get("name"));
        return addUp((names.size() + NAMES - 1) / NAMES, i -> {
            List<String> some = names.subList(NAMES * i,
                    Math.min(NAMES * (i + 1), names.size()));
            return answer.apply(session.execute(
                    prepared.bind(some).setFetchSize(Integer.MAX_VALUE)));
        });
    }

    /** `select` of each partition, and as one statement over all of them. */
    private List<Way> bothWays(String select, String group, Function<ResultSet, double[]> answer) {
        String from = "SELECT " + select + " FROM " + qualified();
        PreparedStatement one = session.prepare(from + " WHERE name = ?" + group);
        PreparedStatement all = session.prepare(from + group);
        return List.of(new Way("partitions", () -> ofPartitions(one, answer)),
                new Way("statement", () -> answer.apply(session.execute(all.bind()))));
    }

    /** The rows of a partition lie in the order of time, so that its last is found from its end. */
    private List<Way> latestWays() {
        String from = "SELECT name, ts, " + values() + " FROM " + qualified();
        PreparedStatement one = session.prepare(from + " WHERE name = ? ORDER BY ts DESC LIMIT 1");
        PreparedStatement many = session.prepare(from
                + " WHERE name IN ? ORDER BY ts DESC PER PARTITION LIMIT 1");
        Function<ResultSet, double[]> answer = result -> read(result, true);
        return List.of(new Way("partitions", () -> ofPartitions(one, answer)),
                new Way("names", () -> ofNames(many, answer)));
    }

    private List<Way> ways(String question) {
        String m = rows.measured();
        String hours = String.format("count(*), min(%s), max(%s), sum(%s)", m, m, m);
        String byHour = " GROUP BY name, floor(ts, 1h)";
        switch (question) {
            case "hourly_all": return bothWays(hours, byHour, result -> sums(result, true, 0));
            case "by_partition": return bothWays("name, count(*), avg(" + m + ")", " GROUP BY name",
                    result -> sums(result, true, 1));
            case "total": return bothWays("sum(" + m + ")", "", result -> sums(result, false, 0));
            case "scan": return bothWays("name, ts, " + values(), "", this::read);
            case "hourly_one": {
                PreparedStatement prepared = session.prepare("SELECT " + hours + " FROM "
                        + qualified() + " WHERE name = ?" + byHour);
                return List.of(new Way("statement", () ->
                        sums(session.execute(prepared.bind(rows.name(0))), true, 0)));
            }
            case "latest": return latestWays();
            default: throw new IllegalArgumentException("no question is named " + question);
        }
    }

    // ------------------------------------------------------------------------------ Asking once

    private static double at(double[] sorted, double fraction) {
        return sorted[Math.min((int) (fraction * sorted.length), sorted.length - 1)];
    }

    private void askFor(double seconds, PreparedStatement prepared, SliceQuestion question,
            List<long[]> slices) {
        double deadline = now() + seconds;
        for (int i = slices.size() - 1; now() < deadline; i = i > 0 ? i - 1 : slices.size() - 1) {
            question.ask(prepared, slices.get(i));
        }
    }

    /** Whether there are too few samples yet: of time or of number, but not for ever. */
    private boolean wantsMore(int asked, double seconds) {
        return asked < Math.min(rows.slices.size(), ANSWER_SLICES) || seconds < timeBox()
                || asked < LEAST_SAMPLES && seconds < LONGEST * timeBox();
    }

    private void measureSlices(String measure, PreparedStatement prepared, SliceQuestion question) {
        int n = rows.slices.size();
        double[] sum = null;
        double[] times = new double[LEAST_SAMPLES];
        int asked = 0;
        Cost cost = new Cost();
        while (wantsMore(asked, cost.seconds())) {
            if (asked == times.length) {
                times = Arrays.copyOf(times, 2 * asked);
            }
            long start = System.nanoTime();
            double[] one = question.ask(prepared, rows.slices.get(asked % n));
            times[asked] = (System.nanoTime() - start) / 1e9;
            if (sum == null) {
                sum = one;
            } else if (asked < Math.min(n, ANSWER_SLICES)) {
                add(sum, one);
            }
            asked++;
        }
        double seconds = cost.seconds();
        double[] sorted = Arrays.copyOf(times, asked);
        Arrays.sort(sorted);
        cost.line(measure, seconds, String.format(Locale.ROOT,
                ", \"n\": %d, \"p50\": %.9f, \"p99\": %.9f, \"p999\": %.9f", asked,
                at(sorted, 0.5), at(sorted, 0.99), at(sorted, 0.999)) + answer(sum));
    }

    /** Clients that ask slice after slice until they are told to end. */
    private final class Crowd {
        final int clients = number("clients", 64);
        final LongAdder done = new LongAdder();
        private final PreparedStatement prepared = prepareSlice();
        private final AtomicInteger asked = new AtomicInteger();
        private final AtomicReference<Throwable> failure = new AtomicReference<>();
        private final CountDownLatch connected = new CountDownLatch(clients);
        private final List<Thread> threads = new ArrayList<>();
        private volatile boolean ended;

        private void work() {
            slice(prepared, rows.slices.get(0));
            connected.countDown();
            while (!ended && failure.get() == null) {
                int i = Integer.remainderUnsigned(asked.getAndIncrement(), rows.slices.size());
                slice(prepared, rows.slices.get(i));
                done.increment();
            }
        }

        /** Returns when each client has had an answer. */
        void start() throws InterruptedException {
            for (int i = 0; i < clients; i++) {
                Thread thread = new Thread(this::work);
                thread.setUncaughtExceptionHandler((which, problem) -> {
                    failure.set(problem);
                    connected.countDown();
                });
                threads.add(thread);
                thread.start();
            }
            connected.await();
        }

        void end() throws InterruptedException {
            ended = true;
            for (Thread thread : threads) {
                thread.join();
            }
            if (failure.get() != null) {
                throw new IllegalStateException("a slice failed", failure.get());
            }
        }
    }

    private static void sleep(double seconds) throws InterruptedException {
        Thread.sleep((long) (seconds * 1000));
    }

    /** The window lies within the time in which all of them ask. */
    private void askCrowd() throws InterruptedException {
        Crowd crowd = new Crowd();
        crowd.start();
        if (warms()) {
            sleep(warmSeconds());
        }
        Cost cost = new Cost();
        long before = crowd.done.sum();
        sleep(Math.max(LEAST_CROWD_SECONDS, timeBox()));
        long n = crowd.done.sum() - before;
        cost.line("slice_crowd", cost.seconds(),
                ", \"clients\": " + crowd.clients + ", \"n\": " + n);
        crowd.end();
    }

    /** Repeats a question until warm_seconds have passed and runs no longer differ, or until it is
     * hopeless beside `best`; returns the seconds of the better one of the last two runs. Two runs
     * of more than warm_seconds are enough, and one that takes as long as the whole warming may. */
    private double warmWay(Way way, double best) {
        double started = now();
        double last = Double.MAX_VALUE;
        while (true) {
            double start = now();
            way.question.get();
            double seconds = now() - start;
            double past = now() - started;
            boolean steady = Math.abs(seconds - last) <= STEADY * Math.max(seconds, last);
            boolean twice = last < Double.MAX_VALUE && seconds >= warmSeconds();
            boolean hopeless = seconds > HOPELESS * best && past >= warmSeconds() / 2;
            if (past >= warmSeconds() && (steady || twice) || hopeless
                    || past >= LONGEST_WARM * warmSeconds()) {
                return Math.min(seconds, last);
            }
            last = seconds;
        }
    }

    private Way namedWay(List<Way> ways) {
        String name = options.getOrDefault("way", "partitions");
        return ways.stream().filter(way -> way.name.equals(name)).findFirst().orElse(ways.get(0));
    }

    /** Warms all ways of asking and returns the fastest. */
    private Way warmWhole(List<Way> ways) {
        List<Way> tried = options.containsKey("way") ? List.of(namedWay(ways)) : ways;
        Way fastest = null;
        double best = Double.MAX_VALUE;
        for (Way way : tried) {
            double seconds = warmWay(way, best);
            if (seconds < best) {
                best = seconds;
                fastest = way;
            }
        }
        return fastest;
    }

    private void measureWhole(String question, Way way) {
        for (int run = 0; run < number("runs", 3); run++) {
            measureRun(question, way, run);
        }
    }

    /** Again and again for a share of the time box, and once without warming: the time of the one
     * in the middle, and what an answer costs on average. */
    private void measureRun(String question, Way way, int run) {
        List<Double> times = new ArrayList<>();
        double box = isWarm() ? timeBox() / QUESTION_SHARE : 0;
        double[] values;
        Cost cost = new Cost();
        do {
            double asked = now();
            values = way.question.get();
            times.add(now() - asked);
        } while (cost.seconds() < box);
        double node = nodeCpu() - cost.node;
        double client = clientCpu() - cost.client;
        Collections.sort(times);
        System.out.printf(Locale.ROOT, "{\"measure\": \"%s\", \"run\": %d, \"way\": \"%s\", "
                + "\"n\": %d%s, \"seconds\": %.9f, \"cpu\": %.6f, \"client_cpu\": %.6f}%n", question,
                run, way.name, times.size(), answer(values), times.get(times.size() / 2),
                node / times.size(), client / times.size());
    }

    // ------------------------------------------------------------------------------------ Asking

    private boolean isOfSlices(String question) {
        return question.equals("slice") || question.equals("hour");
    }

    private PreparedStatement prepareSlices(String question) {
        return question.equals("slice") ? prepareSlice()
                : prepareRange("count(*), avg(" + rows.measured() + ")");
    }

    private SliceQuestion sliceQuestion(String question) {
        return question.equals("slice") ? this::slice : this::hour;
    }

    private void askWarm(String question) throws InterruptedException {
        if (question.equals("slice_crowd")) {
            askCrowd();
        } else if (isOfSlices(question)) {
            PreparedStatement prepared = prepareSlices(question);
            if (warms()) {
                askFor(warmSeconds(), prepared, sliceQuestion(question), rows.slices);
            }
            measureSlices(question, prepared, sliceQuestion(question));
        } else {
            List<Way> ways = ways(question);
            measureWhole(question, warms() ? warmWhole(ways) : namedWay(ways));
        }
    }

    /** Ask the same of a table with the same columns, so that both programs are compiled. */
    private void askElsewhere(String question) {
        table = rows.set() + "_warm";
        if (isOfSlices(question)) {
            askFor(warmSeconds(), prepareSlices(question), sliceQuestion(question),
                    rows.slicesOf(Math.min(rows.count(), ELSEWHERE_ROWS)));
        } else {
            Way way = namedWay(ways(question));
            for (double deadline = now() + warmSeconds(); now() < deadline;) {
                way.question.get();
            }
        }
        table = rows.set();
    }

    /** The node was started with no page of its files cached; what it has read since is dropped. */
    private void askCold(String question) throws IOException, JMException {
        if (isOfSlices(question)) {
            PreparedStatement prepared = prepareSlices(question);
            askElsewhere(question);
            dropCaches();
            measureSlices(question, prepared, sliceQuestion(question));
        } else {
            Way way = namedWay(ways(question));
            askElsewhere(question);
            dropCaches();
            measureWhole(question, way);
        }
    }

    private void makeElsewhere() throws IOException, JMException, InterruptedException {
        int n = Math.min(rows.count(), ELSEWHERE_ROWS);
        loadElsewhere(requests(100, n), 1024, SETTLE_SECONDS);
        flush();
        settle();
    }

    private void ask() throws IOException, JMException, InterruptedException {
        session = cluster.connect();
        boolean cold = number("cold", 0) == 1;
        if (cold) {
            makeElsewhere();
            table = rows.set();
        }
        for (String question : options.getOrDefault("questions", "slice").split(",")) {
            if (cold) {
                askCold(question);
            } else {
                askWarm(question);
            }
        }
        if (cold) {
            dropElsewhere();
        }
        sayMemory();
    }

    private void close() throws IOException {
        if (fan != null) {
            fan.shutdownNow();
        }
        cluster.close();
        if (node != null) {
            node.close();
        }
    }

    public static void main(String[] args) throws Exception {
        CassandraClient client = new CassandraClient(args);
        try {
            switch (args[0]) {
                case "load": client.load(); break;
                case "merge": client.merge(); break;
                case "size": client.size(); break;
                case "reopen": client.reopen(); break;
                case "ask": client.ask(); break;
                default: throw new IllegalArgumentException("no command is named " + args[0]);
            }
        } finally {
            client.close();
        }
    }
}
