// Reads a topic of RocketMQ from its beginning with Apache's own client, for `rocketmq.mjs`: prints a line of JSON when it begins to read, and
// one for each record. It ends when its standard input does. Run from this source: java -cp 'lib/*' Archive.java NAME_SERVER TOPIC

import com.alibaba.fastjson2.JSONObject;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

public class Archive {
    private static final long LOOK_MS = 200;

    public static void main(String[] arguments) throws Exception {
        String nameServer = arguments[0], topic = arguments[1];
        PrintStream records = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        // What the client logs goes elsewhere.
        System.setOut(System.err);
        Thread parent = new Thread(Archive::endWithInput);
        parent.setDaemon(true);
        parent.start();

        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("archive-" + ProcessHandle.current().pid());
        consumer.setNamesrvAddr(nameServer);
        consumer.setAutoCommit(false);
        consumer.setPollNameServerInterval(1_000);
        consumer.setHeartbeatBrokerInterval(1_000);
        consumer.start();
        Collection<MessageQueue> queues = queuesOf(consumer, topic);
        consumer.assign(queues);
        for (MessageQueue queue : queues) consumer.seekToBegin(queue);
        records.println(JSONObject.of("queues", queues.size()));
        while (true) {
            for (MessageExt message : consumer.poll(LOOK_MS)) {
                String body = new String(message.getBody(), StandardCharsets.UTF_8);
                String queue = message.getBrokerName() + ":" + message.getQueueId();
                records.println(JSONObject.of("key", message.getKeys(), "queue", queue, "offset", message.getQueueOffset(), "body", body));
            }
        }
    }

    /** Waits until the topic is there. */
    private static Collection<MessageQueue> queuesOf(DefaultLitePullConsumer consumer, String topic) throws InterruptedException {
        while (true) {
            try {
                return consumer.fetchMessageQueues(topic);
            } catch (MQClientException none) {
                Thread.sleep(LOOK_MS);
            }
        }
    }

    private static void endWithInput() {
        try {
            while (System.in.read() >= 0) {}
        } catch (java.io.IOException closed) {
            // The same.
        }
        Runtime.getRuntime().halt(0);
    }
}
