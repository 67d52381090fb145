PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE action (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, colour INTEGER NOT NULL,
        key TEXT NOT NULL, description TEXT NOT NULL
    , paint TEXT NOT NULL DEFAULT '');
INSERT INTO "action" VALUES('groom',0,0,'b','','');
INSERT INTO "action" VALUES('eat',1,1,'1','','');
INSERT INTO "action" VALUES('dig',2,2,'2','with paws','');
INSERT INTO "action" VALUES('rest',3,3,'3','','#aa00bb');
CREATE TABLE part (
        step INTEGER NOT NULL REFERENCES step ON DELETE CASCADE, track INTEGER NOT NULL,
        removed TEXT NOT NULL, added TEXT NOT NULL, revision INTEGER NOT NULL
    );
INSERT INTO "part" VALUES(2,1,'[]','[[0, 3, "groom", "drawn", "", "Anna"], [4, 5, "eat", "imported", "why?", "Anna"]]',1);
INSERT INTO "part" VALUES(3,1,'[[4, 5, "eat", "imported", "why?", "Anna"]]','[[5, 6, "eat", "corrected", "", "Bernd"]]',2);
INSERT INTO "part" VALUES(4,3,'[]','[[2, 2, "dig", "drawn", "", "Anna"]]',1);
CREATE TABLE revision (
        video TEXT PRIMARY KEY REFERENCES video ON DELETE CASCADE, number INTEGER NOT NULL
    );
INSERT INTO "revision" VALUES('first',3);
INSERT INTO "revision" VALUES('second',2);
CREATE TABLE run (
        name TEXT PRIMARY KEY, path TEXT NOT NULL, track TEXT NOT NULL, made REAL NOT NULL,
        figures TEXT NOT NULL
    );
CREATE TABLE segment (
        id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES track ON DELETE CASCADE,
        start INTEGER NOT NULL, stop INTEGER NOT NULL, label TEXT NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('predicted', 'corrected', 'drawn', 'imported')),
        comment TEXT NOT NULL, annotator TEXT NOT NULL, CHECK (0 <= start AND start <= stop)
    );
INSERT INTO "segment" VALUES(1,1,0,3,'groom','drawn','','Anna');
INSERT INTO "segment" VALUES(2,1,5,6,'eat','corrected','','Bernd');
INSERT INTO "segment" VALUES(3,3,2,2,'dig','drawn','','Anna');
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "setting" VALUES('token','token of a test');
INSERT INTO "setting" VALUES('adjust','{"gamma": 1.0}');
CREATE TABLE step (
        id INTEGER PRIMARY KEY AUTOINCREMENT, video TEXT REFERENCES video ON DELETE CASCADE,
        edit TEXT UNIQUE, time REAL NOT NULL, author TEXT NOT NULL, annotator TEXT NOT NULL,
        title TEXT NOT NULL, actions TEXT NOT NULL, revision INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped'))
    );
INSERT INTO "step" VALUES(1,NULL,NULL,1.79606550179684424e+09,'one','Anna','add 4 classes','[[], [["groom", 0, "b", "", "", 0], ["eat", 1, "1", "", "", 1], ["dig", 2, "2", "with paws", "", 2], ["sit", 3, "3", "", "#aa00bb", 3]]]',0,'done');
INSERT INTO "step" VALUES(2,'first',NULL,1.7960655018394978e+09,'one','Anna','label 2 segments','[[], []]',1,'done');
INSERT INTO "step" VALUES(3,'first',NULL,1.79606550185306167e+09,'two','Bernd','change eat','[[], []]',2,'done');
INSERT INTO "step" VALUES(4,'second',NULL,1.79606550191694259e+09,'one','Anna','label dig','[[], []]',2,'done');
INSERT INTO "step" VALUES(5,NULL,NULL,1.79606550193050503e+09,'one','Anna','rename sit to rest (0 segments)','[[["sit", 3, "3", "", "#aa00bb", 3]], [["rest", 3, "3", "", "#aa00bb", 3]]]',0,'done');
CREATE TABLE track (
        id INTEGER PRIMARY KEY, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
        name TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0, annotator TEXT NOT NULL DEFAULT '', UNIQUE (video, name)
    );
INSERT INTO "track" VALUES(1,'first','main',2,1,'');
INSERT INTO "track" VALUES(2,'second','main',0,0,'');
INSERT INTO "track" VALUES(3,'second','left',1,0,'Bernd');
CREATE TABLE video (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, media TEXT, features TEXT, times BLOB NOT NULL,
        complete INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL,
        removed REAL
    );
INSERT INTO "video" VALUES('first','mouse_01',NULL,NULL,X'00000000000000009A9999999999B93F9A9999999999C93F333333333333D33F9A9999999999D93F000000000000E03F333333333333E33F666666666666E63F9A9999999999E93FCDCCCCCCCCCCEC3F000000000000F03F',0,0,1.79606550181602549e+09,NULL);
INSERT INTO "video" VALUES('second','mouse_02',NULL,NULL,X'00000000000000009A9999999999B93F9A9999999999C93F333333333333D33F9A9999999999D93F000000000000E03F333333333333E33F666666666666E63F9A9999999999E93FCDCCCCCCCCCCEC3F000000000000F03F',0,0,1.79606550182870364e+09,NULL);
CREATE INDEX step_of_author ON step (author, state);
CREATE INDEX part_of_step ON part (step);
CREATE INDEX part_of_track ON part (track);
CREATE INDEX segment_of_track ON segment (track, start);
CREATE INDEX segment_of_label ON segment (label);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('step',5);
COMMIT;
