-- The tables of a campus that this server touches, in MySQL's dialect; {roles} and {columns_of_3} differ by version.
CREATE TABLE `user` (
  `id` int NOT NULL AUTO_INCREMENT, `resource_node_id` int DEFAULT NULL, `username` varchar(100) NOT NULL,
  `api_token` varchar(255) DEFAULT NULL, `firstname` varchar(64) DEFAULT NULL, `lastname` varchar(64) DEFAULT NULL,
  `website` varchar(255) DEFAULT NULL, `biography` longtext DEFAULT NULL, `locale` varchar(10) NOT NULL,
  `password` varchar(255) NOT NULL, `username_canonical` varchar(180) NOT NULL, `timezone` varchar(64) NOT NULL,
  `email_canonical` varchar(100) NOT NULL, `email` varchar(100) NOT NULL, `locked` tinyint(1) NOT NULL,
  `expired` tinyint(1) NOT NULL, `credentials_expired` tinyint(1) NOT NULL, `credentials_expire_at` datetime DEFAULT NULL,
  `date_of_birth` datetime DEFAULT NULL, `expires_at` datetime DEFAULT NULL, `phone` varchar(64) DEFAULT NULL,
  `address` varchar(250) DEFAULT NULL, `salt` varchar(255) NOT NULL, `gender` varchar(1) DEFAULT NULL,
  `last_login` datetime DEFAULT NULL, `confirmation_token` varchar(255) DEFAULT NULL,
  `password_requested_at` datetime DEFAULT NULL, `roles` {roles} NOT NULL, `profile_completed` tinyint(1) DEFAULT NULL,
  `status` int NOT NULL, `official_code` varchar(40) DEFAULT NULL, `picture_uri` varchar(250) DEFAULT NULL,
  `creator_id` int DEFAULT NULL, `competences` longtext DEFAULT NULL, `diplomas` longtext DEFAULT NULL,
  `openarea` longtext DEFAULT NULL, `teach` longtext DEFAULT NULL, `productions` varchar(250) DEFAULT NULL,
  `expiration_date` datetime DEFAULT NULL, `active` int NOT NULL, `openid` varchar(255) DEFAULT NULL,
  `theme` varchar(255) DEFAULT NULL, `hr_dept_id` smallint DEFAULT NULL, `uuid` binary(16) NOT NULL,
  `created_at` datetime NOT NULL, `updated_at` datetime NOT NULL, `of_a_plugin` varchar(20) NOT NULL{columns_of_3},
  PRIMARY KEY (`id`), UNIQUE KEY `u_username` (`username`), UNIQUE KEY `u_uuid` (`uuid`), KEY `idx_user_status` (`status`)
) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ENGINE=InnoDB;
CREATE TABLE `access_url` (`id` int NOT NULL AUTO_INCREMENT, `url` varchar(255) NOT NULL, `active` int NOT NULL,
  `parent_id` int DEFAULT NULL, PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `access_url_rel_user` (`id` int NOT NULL AUTO_INCREMENT, `user_id` int DEFAULT NULL,
  `access_url_id` int DEFAULT NULL, PRIMARY KEY (`id`),
  CONSTRAINT `fk_url_user` FOREIGN KEY (`user_id`) REFERENCES `user` (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `user_auth_source` (`id` int NOT NULL AUTO_INCREMENT, `authentication` varchar(255) NOT NULL,
  `url_id` int NOT NULL, `user_id` int DEFAULT NULL, PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `user_rel_user` (`id` int NOT NULL AUTO_INCREMENT, `user_id` int NOT NULL, `friend_user_id` int NOT NULL,
  `relation_type` int NOT NULL, `created_at` datetime NOT NULL, `updated_at` datetime NOT NULL,
  PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `track_e_login` (`login_id` int NOT NULL AUTO_INCREMENT, `login_user_id` int NOT NULL,
  `login_date` datetime NOT NULL, `user_ip` varchar(45) NOT NULL, `logout_date` datetime DEFAULT NULL,
  PRIMARY KEY (`login_id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `track_e_login_record` (`id` int NOT NULL AUTO_INCREMENT, `username` varchar(100) NOT NULL,
  `login_date` datetime NOT NULL, `user_ip` varchar(45) NOT NULL, `success` tinyint(1) NOT NULL,
  PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
CREATE TABLE `settings` (`id` int NOT NULL AUTO_INCREMENT, `access_url` int DEFAULT NULL, `variable` varchar(190) NOT NULL,
  `subkey` varchar(190) DEFAULT NULL, `type` varchar(255) DEFAULT NULL, `category` varchar(255) DEFAULT NULL,
  `selected_value` longtext DEFAULT NULL, `title` varchar(255) NOT NULL, `access_url_changeable` int NOT NULL,
  `access_url_locked` int NOT NULL DEFAULT 0, PRIMARY KEY (`id`)) DEFAULT CHARSET=utf8mb4 ENGINE=InnoDB;
INSERT INTO `access_url` (`url`, `active`) VALUES ('http://localhost/', 1), ('http://two.example/', 1);
