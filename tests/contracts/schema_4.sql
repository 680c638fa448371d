CREATE TABLE tuner_schema (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE tuner_studies (
    study_id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    spec TEXT NOT NULL,
    budget INTEGER NOT NULL,
    code TEXT NOT NULL,
    kind VARCHAR(20) NOT NULL,
    artifacts TEXT NOT NULL,
    probe VARCHAR(64) NOT NULL,
    space TEXT NOT NULL,
    provenance TEXT NOT NULL,
    points INTEGER NOT NULL,
    control VARCHAR(20) NOT NULL,
    ending VARCHAR(20),
    ending_message TEXT NOT NULL,
    created_at FLOAT(53) NOT NULL,
    resumed_at FLOAT(53) NOT NULL,
    seen_at FLOAT(53) NOT NULL,
    judge_from FLOAT(53) NOT NULL,
    reconciled_at FLOAT(53) NOT NULL,
    ended_at FLOAT(53),
    PRIMARY KEY (study_id)
);
CREATE TABLE tuner_attempts (
    trial_id INTEGER NOT NULL,
    study_id INTEGER NOT NULL,
    configuration INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    forced BOOLEAN NOT NULL,
    owner VARCHAR(200),
    lease_until FLOAT(53),
    claimed_at FLOAT(53),
    ended_at FLOAT(53),
    reason VARCHAR(20),
    epoch INTEGER NOT NULL,
    run INTEGER NOT NULL,
    resumed_from INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    last_value FLOAT(53),
    best_epoch INTEGER,
    error TEXT,
    failure TEXT,
    code VARCHAR(64),
    environment TEXT,
    draw VARCHAR(32),
    PRIMARY KEY (trial_id),
    CONSTRAINT tuner_attempts_once UNIQUE (study_id, configuration, attempt),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
CREATE INDEX tuner_attempts_draw ON tuner_attempts (study_id, draw);
CREATE INDEX tuner_attempts_open ON tuner_attempts (study_id) WHERE ended_at IS NULL;
CREATE INDEX tuner_attempts_owner ON tuner_attempts (owner);
CREATE TABLE tuner_notices (
    study_id INTEGER NOT NULL,
    notice VARCHAR(100) NOT NULL,
    PRIMARY KEY (study_id, notice),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
CREATE TABLE tuner_points (
    study_id INTEGER NOT NULL,
    configuration INTEGER NOT NULL,
    params TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (study_id, configuration),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
CREATE TABLE tuner_rungs (
    study_id INTEGER NOT NULL,
    bracket INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    configuration INTEGER NOT NULL,
    value FLOAT(53) NOT NULL,
    PRIMARY KEY (study_id, bracket, epoch, configuration),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
CREATE TABLE tuner_scores (
    score_id SERIAL NOT NULL,
    study_id INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    model VARCHAR(20) NOT NULL,
    metrics TEXT NOT NULL,
    who VARCHAR(400) NOT NULL,
    at FLOAT(53) NOT NULL,
    PRIMARY KEY (score_id),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
CREATE TABLE tuner_workers (
    worker_id VARCHAR(200) NOT NULL,
    study_id INTEGER NOT NULL,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    started_at FLOAT(53) NOT NULL,
    beat_at FLOAT(53) NOT NULL,
    lease_s FLOAT(53) NOT NULL,
    beat_s FLOAT(53) NOT NULL,
    stopped BOOLEAN NOT NULL,
    PRIMARY KEY (worker_id),
    FOREIGN KEY(study_id) REFERENCES tuner_studies (study_id) ON DELETE CASCADE
);
