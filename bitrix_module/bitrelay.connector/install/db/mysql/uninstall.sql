DROP TABLE IF EXISTS b_bitrelay_outbox;

DROP TABLE IF EXISTS b_bitrelay_state;
